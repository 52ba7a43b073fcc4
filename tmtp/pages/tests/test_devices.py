"""The pages about devices, as a browser sees them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from tmtp.models import Node, QueueEntry
from tmtp.pages import service_address
from tmtp.pages.views.devices import COUNTED, providers_for
from tmtp.server.certificate import make_self_signed
from tmtp.services.errors import Refused
from tmtp.services.messages.sending import send_message
from tmtp.services.people import devices, users
from tmtp.services.people.identities import link_identity
from tmtp.services.people.linking import user_of
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.queue import leases

pytestmark = pytest.mark.django_db


def url(name, *args):
    return reverse(f"tmtp_pages:{name}", args=args)


@pytest.fixture
def ann(client):
    account = get_user_model().objects.create_user("ann")
    client.force_login(account)
    return account


@pytest.fixture
def laptop(ann):
    return devices.make_node(user_of(ann), "Laptop <1>")[0]


@pytest.fixture
def strangers():
    account = get_user_model().objects.create_user("bob")
    return devices.make_node(user_of(account), "Bob's phone")[0]


@pytest.mark.once
@pytest.mark.parametrize(("label", "shows"), [("\u202elaptop\u2066", "laptop"), ("\u200b\u3164", "device")])
def test_a_label_is_visible(client, ann, label, shows):
    """It comes from the program that asks for the device."""
    node = devices.make_node(user_of(ann), label)[0]
    assert re.search(rf"<a href=[^>]*><bdi>{shows}</bdi></a>", shown(client))
    with pytest.raises(Refused):
        devices.rename_node(node, "\u200b\u3164")
    devices.rename_node(node, "pho\u202ene")
    assert "><bdi>phone</bdi></a>" in shown(client)


def shown(client, name="devices", *args):
    answer = client.get(url(name, *args))
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.text)


# the list


def test_without_a_device_the_page_says_what_to_do(client, ann):
    mailbox_of(user_of(ann))
    page = shown(client)
    assert "No device yet" in page
    assert url("device_new") in page


def test_mailbox_and_holding_place_are_no_devices(client, ann, laptop):
    mailbox_of(user_of(ann))
    page = shown(client)
    assert "Laptop &lt;1&gt;" in page
    assert page.count('<li class="row">') == 1


@pytest.mark.once
def test_what_waits_is_counted_and_when_it_was_there_is_said(client, ann, laptop):
    send_message(ann, "subject", "text")
    page = shown(client)
    assert "1 waiting message" in page
    assert "never connected" in page
    Node.objects.filter(pk=laptop.pk).update(last_seen=timezone.now() - timedelta(days=3))
    assert "last seen 3 days ago" in shown(client)


def test_counting_ends_at_a_limit(client, ann, laptop):
    QueueEntry.objects.bulk_create(QueueEntry(node=laptop, rank=1, message_id=n) for n in range(COUNTED + 5))
    assert "More than 1000 waiting messages" in shown(client)


def test_online_is_who_is_connected_to_a_server_that_lives(client, ann, laptop):
    lease = leases.take("127.0.0.1:1")
    Node.objects.filter(pk=laptop.pk).update(server=lease.pk)
    assert ">online<" in shown(client)
    type(lease).objects.filter(pk=lease.pk).update(seen=timezone.now() - timedelta(minutes=1))
    assert ">online<" not in shown(client)


@pytest.mark.once
def test_the_number_of_queries_does_not_grow_with_the_devices(client, ann, laptop, django_assert_max_num_queries):
    for number in range(20):
        devices.make_node(user_of(ann), f"device {number}")
    with django_assert_max_num_queries(8):
        shown(client)


# a new one


def test_the_address_is_told_as_text_and_as_a_code(client, ann, settings, tmp_path):
    make_self_signed(tmp_path / "cert.pem", tmp_path / "key.pem", ["localhost"])
    own = {"PUBLIC_ADDRESS": "mnm.example.org:443", "CERT": str(tmp_path / "cert.pem")}
    settings.TMTP = {**settings.TMTP, **own}
    page = shown(client, "device_new")
    assert '<code id="address">=mnm.example.org:443</code>' in page
    assert "<svg" in page
    assert 'role="img" aria-label="QR code of the address =mnm.example.org:443"' in page
    assert "style=" not in page


def test_the_code_of_a_new_device_has_all_that_it_logs_in_with(client, ann, monkeypatch):
    texts = []
    monkeypatch.setattr("tmtp.pages.views.devices.qr_code", lambda text: texts.append(text) or "a code")
    page = client.post(reverse("tmtp_pages:device_new"), {"label": "phone"}).text
    dialled, uid, nodeid = texts[-1].split("\n")
    assert f'<code id="address">{dialled}</code>' in page
    assert uid == user_of(ann).uid
    assert f'<code id="nodeid">{nodeid}</code>' in page
    assert "a code" in page


@pytest.mark.parametrize(
    ("bind", "public", "host", "dialled"),
    [
        ("0.0.0.0:7443", "", "mnm.example.org:8000", "mnm.example.org:7443"),
        ("127.0.0.1:7443", "", "mnm.example.org", "mnm.example.org:7443"),
        ("[::]:7443", "", "[::1]:8000", "[::1]:7443"),
        ("192.0.2.7:7443", "", "mnm.example.org", "192.0.2.7:7443"),
        ("[2001:db8::7]:7443", "", "mnm.example.org", "[2001:db8::7]:7443"),
        ("localhost:1", "", "127.0.0.1", "127.0.0.1:1"),
        ("0.0.0.0:7443", "tmtp.example.org:443", "mnm.example.org", "tmtp.example.org:443"),
    ],
)
def test_the_address_is_one_to_dial(rf, settings, bind, public, host, dialled):
    settings.ALLOWED_HOSTS = ["*"]
    settings.TMTP = {"BIND": bind, "PUBLIC_ADDRESS": public, "CERT": "/there/is/none.pem"}
    assert service_address.address(rf.get("/", headers={"host": host})) == dialled
    settings.TMTP = {"BIND": bind, "PUBLIC_ADDRESS": public}
    assert service_address.address(rf.get("/", headers={"host": host})) == dialled


@pytest.mark.once
def test_a_node_made_here_can_log_in_and_its_secret_is_shown_once(client, ann):
    answer = client.post(url("device_new"), {"label": "Phone"})
    assert "no-store" in answer["Cache-Control"]
    (uid,) = re.findall(r'<code id="uid">(.+?)</code>', answer.text)
    (nodeid,) = re.findall(r'<code id="nodeid">(.+?)</code>', answer.text)
    sender = users.log_in(uid, nodeid, leases.take("127.0.0.1:1").pk)
    assert sender.user == user_of(ann).pk
    assert Node.objects.get(pk=sender.node).label == "Phone"
    assert nodeid not in shown(client) + shown(client, "device_new") + shown(client, "device", sender.node)


def test_what_waited_for_a_first_device_waits_for_it(client, ann):
    send_message(ann, "subject", "text")
    client.post(url("device_new"), {"label": "Phone"})
    assert "1 waiting message" in shown(client)


@pytest.mark.parametrize("label", ["", "  ", "x" * 256])
def test_a_device_needs_a_name(client, ann, label):
    answer = client.post(url("device_new"), {"label": label})
    assert 'id="id_label_error"' in answer.text
    assert not Node.objects.filter(label=label, kind=Node.Kind.DEVICE).exists()


def test_the_most_devices_are_said_beside_the_field(client, ann, monkeypatch):
    monkeypatch.setattr(devices, "MAX_NODES", 0)
    assert "You cannot have more than 0 devices" in client.post(url("device_new"), {"label": "Phone"}).text


def test_ways_to_show_who_one_is(ann, settings):
    def provider(label, **more):
        urls = {name: [f"https://{label}.example/{name}", "scope=openid"] for name in ("login", "token")}
        keys = {"keys": f"https://{label}.example/keys", "iss": f"https://{label}.example", "aud": "devices"}
        return {"label": label, **urls, **keys, **more}

    site = {
        "client_id": "web",
        "client_secret": "hush",
        "login": "https://b.example/l",
        "token": "https://b.example/t",
    }
    authby = [provider("itself"), provider("linked"), provider("linkable", site=site), provider("unknown")]
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 1, "authby": authby}}
    settings.OAUTH2_PROVIDER = {"OIDC_ISS_ENDPOINT": "https://itself.example"}
    link_identity(user_of(ann), "https://linked.example", "ann")
    found = [(provider.label, how) for provider, how in providers_for(ann)]
    assert found == [("itself", "site"), ("linked", "linked"), ("linkable", "link")]
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 0, "authby": authby}}
    assert providers_for(ann) == []


# another name, and the end


def test_rename(client, ann, laptop):
    assert 'value="Laptop &lt;1&gt;"' in shown(client, "device", laptop.pk)
    answer = client.post(url("device", laptop.pk), {"label": "Old laptop"}, follow=True)
    assert "Old laptop" in answer.text
    assert 'id="id_label_error"' in client.post(url("device", laptop.pk), {"label": " "}).text
    assert Node.objects.get(pk=laptop.pk).label == "Old laptop"


@pytest.mark.once
def test_drop(client, ann, laptop):
    mailbox_of(user_of(ann))
    send_message(ann, "subject", "text")
    page = shown(client, "device_drop", laptop.pk)
    assert "will not be delivered to it" in page
    assert "1 waiting message" in page
    assert Node.objects.get(pk=laptop.pk).dropped is None
    client.post(url("device_drop", laptop.pk))
    assert Node.objects.get(pk=laptop.pk).dropped
    assert "No device yet" in shown(client)


def test_what_waits_for_the_last_one_waits_for_the_next(client, ann, laptop):
    send_message(ann, "subject", "text")
    assert "are kept for your next one" in shown(client, "device_drop", laptop.pk)
    client.post(url("device_drop", laptop.pk))
    client.post(url("device_new"), {"label": "Phone"})
    assert "1 waiting message" in shown(client)


@pytest.mark.once
@pytest.mark.parametrize("name", ["device", "device_drop"])
def test_other_people_s_devices_are_not_there(client, ann, strangers, name):
    assert client.get(url(name, strangers.pk)).status_code == 404
    assert client.post(url(name, strangers.pk), {"label": "mine"}).status_code == 404
    strangers.refresh_from_db()
    assert (strangers.label, strangers.dropped) == ("Bob's phone", None)


def test_pages_are_for_members(client, strangers):
    for name, args in [("devices", []), ("device_new", []), ("device", [strangers.pk])]:
        assert client.get(url(name, *args)).status_code == 302
