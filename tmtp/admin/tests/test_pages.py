import re
from base64 import b64encode
from datetime import timedelta

import pytest
from django.utils import timezone

from tmtp.admin import base, waiting
from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import Account, connect, node_of, register, send, text, url
from tmtp.models import Group, Identity, Member, Message, Node, QueueEntry, ServerLease, User
from tmtp.services.people import abuse, devices, linking, users
from tmtp.services.queue import leases

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ann, bob, choir, reader = admin_pages.ann, admin_pages.bob, admin_pages.choir, admin_pages.reader


def populate(count, choir, ann):
    """Add users with two nodes each, members and waiting messages."""
    for number in range(count):
        sender = register(f"singer number {count} {number}")
        devices.add_node(sender, "phone")
        Member.objects.create(group=choir, user_id=sender.user, alias=f"singer number {count} {number}", status=2)
        send(ann, sender)
        abuse.report(User.objects.get(pk=sender.user), 1, user=User.objects.get(pk=ann.user), name="ann of rome")


PAGES = [
    "abusereport_changelist",
    "user_changelist",
    "node_changelist",
    "group_changelist",
    "member_changelist",
    "serverlease_changelist",
]


def test_lists_take_as_many_queries_for_many_rows_as_for_few(admin_client, django_assert_max_num_queries, choir, ann):
    leases.take("127.0.0.1:7443")
    populate(3, choir, ann)
    found = {}
    for page in PAGES:
        with django_assert_max_num_queries(12) as few:
            assert admin_client.get(url(page)).status_code == 200
        found[page] = len(few)
    populate(30, choir, ann)
    for page in PAGES:
        with django_assert_max_num_queries(found[page]):
            assert admin_client.get(url(page)).status_code == 200


def test_pages_take_as_many_queries_for_many_rows_as_for_few(admin_client, django_assert_max_num_queries, choir, ann):
    pages = [url("user_change", ann.user), url("group_change", choir.pk), url("node_change", ann.node)]
    found = {}
    for count in (3, 30):
        populate(count, choir, ann)
        for number in range(count):
            devices.add_node(ann, f"device {number}")
            users.add_alias(ann, f"ann the great {count} {number}")
        for page in pages:
            with django_assert_max_num_queries(found.get(page, 30)) as captured:
                assert admin_client.get(page).status_code == 200
            found[page] = len(captured)


def test_nothing_secret_is_shown(admin_client, choir, ann, bob):
    nodeids = [users.register("phone", "dora of rome").nodeid]
    devices.add_node(ann, "phone")
    send(ann, bob, b"{}the body of a message")
    Identity.objects.create(user_id=ann.user, iss="https://id.example", sub="4711")
    secrets = [bytes(node.secret) for node in Node.objects.all()]
    sealed = [message.secret for message in Message.objects.exclude(secret="")]
    assert sealed
    hidden = [*nodeids, *sealed, "the body of", *(secret.hex() for secret in secrets)]
    hidden += [str(secret) for secret in secrets] + [b64encode(secret).decode() for secret in secrets]
    pages = [url(page) for page in PAGES] + [url("user_change", ann.user), url("group_change", choir.pk)]
    pages += [url("node_change", pk) for pk in Node.objects.values_list("pk", flat=True)]
    pages += [url("node_question", ann.node, "drop"), url("group_invite", choir.pk)]
    for page in pages:
        shown = text(admin_client.get(page))
        assert not [secret for secret in hidden if secret in shown], page


def test_what_is_in_the_queue_has_no_page(admin_client):
    names = set(re.findall(r"/admin/tmtp/(\w+)/", text(admin_client.get("/admin/"))))
    assert names == {
        "abusereport",
        "auditentry",
        "deletion",
        "user",
        "node",
        "group",
        "member",
        "sentmessage",
        "serverlease",
    }


@pytest.mark.parametrize("query", ["ann of rome", "{uid}", "{prefix}", "anna-account"])
def test_users_are_found(admin_client, ann, bob, query):
    linking.link_account(User.objects.get(pk=ann.user), Account.objects.create_user("anna-account"))
    query = query.format(uid=ann.uid, prefix=ann.uid[:12])
    shown = text(admin_client.get(url("user_changelist"), {"q": query}))
    assert "ann of rome" in shown
    assert "bob of rome" not in shown


@pytest.mark.parametrize(
    ("page", "query", "found"),
    [
        ("user_changelist", {"online": "yes"}, {"ann"}),
        ("user_changelist", {"online": "no"}, {"bob"}),
        ("user_changelist", {"member": "yes"}, {"bob"}),
        ("node_changelist", {"online": "yes"}, {"ann"}),
        ("node_changelist", {"waits": "yes"}, {"bob"}),
        ("node_changelist", {"waits": "no"}, {"ann"}),
        ("node_changelist", {"in_use": "yes"}, {"ann", "bob"}),
        ("node_changelist", {"in_use": "no"}, set()),
        ("node_changelist", {"o": "4.5", "_facets": "True"}, {"ann", "bob"}),
        ("node_changelist", {"q": "bob of rome"}, {"bob"}),
    ],
)
def test_filters(admin_client, ann, bob, page, query, found):
    connect(ann, leases.take("127.0.0.1:7443").pk)
    linking.link_account(User.objects.get(pk=bob.user), Account.objects.create_user("bob"))
    send(ann, bob)
    shown = text(admin_client.get(url(page), query))
    assert {name for name in ("ann", "bob") if f">{name} of rome<" in shown} == found


def test_what_waits(admin_client, ann, bob, monkeypatch):
    send(ann, bob, b"{}" + 998 * b"x", times=3)
    shown = text(admin_client.get(url("node_changelist")))
    assert "3 · 2.9\xa0KB" in shown
    node = waiting.with_waiting(Node.objects.all(), count_limit=2, octets_limit=2).get(pk=bob.node)
    assert (waiting.shown_count(node), waiting.shown_octets(node)) == ("2+", "2.0\xa0KB+")
    nothing = waiting.with_waiting(Node.objects.all()).get(pk=ann.node)
    assert (waiting.shown_count(nothing), waiting.shown_octets(nothing), waiting.shown_age(nothing)) == ("0", "", "")


def test_the_oldest_may_have_either_rank(ann, bob):
    first = send(ann, bob)
    devices.add_node(bob, "phone")
    assert waiting.with_waiting(Node.objects.all()).get(pk=bob.node).oldest == first
    QueueEntry.objects.filter(rank=1).delete()
    assert waiting.with_waiting(Node.objects.all()).get(pk=bob.node).oldest > first


def test_servers(admin_client, ann):
    connect(ann, leases.take("127.0.0.1:7443").pk)
    ServerLease.objects.create(host="away", address="", pid=7, seen=timezone.now() - timedelta(hours=1))
    shown = text(admin_client.get(url("serverlease_changelist")))
    assert "127.0.0.1:7443" in shown
    assert re.findall(r'field-nodes_online">(\d)', shown) == ["1", "0"]
    assert re.findall(r'field-runs"><img src="[^"]*icon-(yes|no)', shown) == ["yes", "no"]


def test_large_groups_show_their_first_members(admin_client, choir, monkeypatch):
    monkeypatch.setattr(base, "INLINE_ROWS", 2)
    response = admin_client.get(url("group_change", choir.pk))
    assert len(response.context["inline_admin_formsets"][0].formset.forms) == 2
    assert f"{url('member_changelist')}?group__id__exact={choir.pk}" in text(response)
    everyone = text(admin_client.get(url("member_changelist"), {"group__id__exact": choir.pk}))
    assert all(f"{name} of rome" in everyone for name in ("ann", "bob", "cecil"))


# -- permissions


@pytest.mark.parametrize("model", ["node", "group", "member", "serverlease"])
def test_no_rows_past_the_services(admin_client, choir, ann, model):
    leases.take("127.0.0.1:7443")
    pk = {"node": Node, "group": Group, "member": Member, "serverlease": ServerLease}[model]
    pk = pk.objects.first().pk
    assert admin_client.get(url(f"{model}_delete", pk)).status_code == 403
    assert admin_client.post(url(f"{model}_delete", pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text(admin_client.get(url(f"{model}_changelist")))
    if model != "group":  # groups are created by an invitation
        assert admin_client.get(url(f"{model}_add")).status_code == 403


def test_a_reader_changes_nothing(reader, choir, ann, bob):
    node, member = node_of(bob), Member.objects.get(user=bob.user)
    for page in [*(url(name) for name in PAGES), url("user_change", ann.user), url("group_change", choir.pk)]:
        response = reader.get(page)
        assert response.status_code == 200
        assert 'name="action"' not in text(response)
    assert reader.get(url("node_question", node.pk, "drop")).status_code == 403
    assert reader.get(url("group_invite", choir.pk)).status_code == 403
    assert reader.get(url("group_add")).status_code == 403
    reader.post(url("node_changelist"), {"action": "drop", "_selected_action": node.pk, "confirmed": "yes"})
    reader.post(url("member_changelist"), {"action": "bar", "_selected_action": member.pk})
    assert reader.post(url("group_change", choir.pk), {}).status_code == 403
    node.refresh_from_db()
    member.refresh_from_db()
    assert node.dropped is None
    assert member.status == Member.Status.JOINED
    assert "/ask/" not in text(reader.get(url("node_change", node.pk)))
