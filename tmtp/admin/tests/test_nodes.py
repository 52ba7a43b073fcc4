import asyncio

import pytest

from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import connect, node_of, send, text, url, waiting_for
from tmtp.models import Message
from tmtp.services.people import devices, users
from tmtp.services.queue import leases
from tmtp.tests.processes import until
from tmtp.tests.raw_client import LoginRefused
from tmtp.tests.servers import installation

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ann, bob = admin_pages.ann, admin_pages.bob


def choose(client, action, *nodes, **more):
    data = {"action": action, "_selected_action": nodes, **more}
    return client.post(url("node_changelist"), data, follow=True)


@pytest.mark.parametrize("action", ["drop", "discard"])
def test_what_cannot_be_undone_is_asked_first(admin_client, ann, bob, action):
    send(ann, bob)
    asked = choose(admin_client, action, bob.node)
    assert "laptop · bob of rome" in text(asked)
    assert 'name="confirmed"' in text(asked)
    assert node_of(bob).dropped is None
    assert waiting_for(bob)


def test_drop(admin_client, ann, bob):
    send(ann, bob)
    response = choose(admin_client, "drop", bob.node, confirmed="yes")
    assert "Remove: done for 1 device." in text(response)
    assert node_of(bob).dropped
    assert node_of(ann).dropped is None
    assert not waiting_for(bob)


def test_discard_takes_what_waits_and_leaves_the_node(admin_client, ann, bob):
    connect(bob, leases.take("127.0.0.1:7443").pk)
    send(ann, bob, times=2)
    choose(admin_client, "discard", bob.node, confirmed="yes")
    assert not waiting_for(bob)
    assert not Message.objects.filter(op="delivery").exists()
    assert node_of(bob).dropped is None
    assert node_of(bob).start_over  # its server reads the queue again


def test_redeliver(admin_client, ann, bob):
    connect(bob, leases.take("127.0.0.1:7443").pk)
    send(ann, bob)
    assert "Send again: done for 1 device." in text(choose(admin_client, "redeliver", bob.node))
    assert node_of(bob).start_over
    assert waiting_for(bob)


def test_redeliver_to_one_who_is_not_connected_is_refused(admin_client, ann, bob):
    connect(bob, leases.take("127.0.0.1:7443").pk)
    response = choose(admin_client, "redeliver", ann.node, bob.node)
    assert "is not connected" in text(response)
    assert "done for 1 device." in text(response)
    assert node_of(ann).start_over is None


def test_login_clears_what_was_asked_for(ann):
    lease = leases.take("127.0.0.1:7443").pk
    connect(ann, lease)
    devices.redeliver(node_of(ann))
    users.disconnect(ann.node, lease)
    connect(ann, lease)
    assert node_of(ann).start_over is None


def test_buttons_of_a_node(admin_client, bob):
    page = text(admin_client.get(url("node_change", bob.node)))
    assert url("node_question", bob.node, "drop") in page
    assert url("node_question", bob.node, "redeliver") not in page  # the device is not connected
    assert "laptop · bob of rome" in text(admin_client.get(url("node_question", bob.node, "discard")))
    assert admin_client.get(url("node_question", bob.node, "explode")).status_code == 404
    assert admin_client.get(url("node_question", 999, "drop")).status_code == 404
    choose(admin_client, "drop", bob.node, confirmed="yes")
    assert url("node_question", bob.node, "drop") not in text(admin_client.get(url("node_change", bob.node)))


# -- with a server: the admin runs in one process, and the devices are connected to another


PRESS = """
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from tmtp.models import Node

Account = get_user_model()
account = Account.objects.filter(username="admin").first() or Account.objects.create_superuser("admin")
browser = Client(headers={"host": "localhost"})
browser.force_login(account)
node = Node.objects.get(user__uid=%(uid)r)
data = {"action": %(action)r, "_selected_action": node.pk, "confirmed": "yes"}
result = browser.post(reverse("admin:tmtp_node_changelist"), data).status_code
"""
STARTS_OVER = """
from tmtp.models import Node
result = Node.objects.filter(user__uid=%(uid)r, start_over__isnull=False).exists()
"""


def press(other, action, device):
    assert other.run(PRESS % {"action": action, "uid": device.uid}) == 302


async def deliveries(device, count):
    return [(await device.expect(op="delivery"))[1] for _ in range(count)]


@pytest.fixture(scope="module")
def live():
    with installation() as place, place.other_process() as other, place.serve() as server:
        yield server, other


async def test_a_dropped_node_is_cut_off_at_once(live):
    server, other = live
    device = await server.register()
    press(other, "drop", device)
    assert await device.ended() is None
    with pytest.raises(LoginRefused, match="login failed"):
        await server.login(device.uid, device.nodeid)


async def test_what_waits_is_sent_again_over_the_same_link(live):
    server, other = live
    sender, device = await server.register(), await server.register()
    bodies = [b"{}%d" % number for number in range(6)]
    for number, body in enumerate(bodies):
        sender.post(f"post {number}", [device.uid], body)
        await sender.expect(op="ack")
    assert await deliveries(device, 4) == bodies[:4]  # the window
    press(other, "redeliver", device)
    got = []
    for _ in range(6):
        header, body = await device.expect(op="delivery")
        got.append(body)
        device.acknowledge(header["id"])
    assert got == bodies


async def test_what_is_discarded_is_not_sent_even_if_the_server_holds_it(live):
    server, other = live
    sender, device = await server.register(), await server.register()
    for number in range(6):
        sender.post(f"post {number}", [device.uid], b"{}old")
        await sender.expect(op="ack")
    heads = [await device.expect(op="delivery") for _ in range(4)]
    press(other, "discard", device)
    await until(lambda: not other.run(STARTS_OVER % {"uid": device.uid}))
    await asyncio.sleep(0.2)  # it is told
    for header, _ in heads:
        device.acknowledge(header["id"])  # opens the window
    sender.post("last", [device.uid], b"{}new")
    assert await deliveries(device, 1) == [b"{}new"]
