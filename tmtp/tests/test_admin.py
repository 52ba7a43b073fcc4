import asyncio
import re
from base64 import b64encode
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from tmtp.admin import base, waiting
from tmtp.models import Alias, Group, Identity, Member, Message, Node, QueueEntry, ServerLease, User
from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services import groups, leases, posting, sql, users
from tmtp.services.posting import Post
from tmtp.tests.real import LoginRefused, installation

pytestmark = pytest.mark.django_db
CHOIR = "the choir of St. Olav"
Account = get_user_model()


def url(name, *args):
    return reverse(f"admin:tmtp_{name}", args=args)


def register(alias, label="laptop"):
    return users.register(label, alias).sender


def node_of(sender):
    return Node.objects.get(pk=sender.node)


def text(response):
    return response.content.decode()


def connect(sender, lease):
    sql.claim_node(sender.node, lease, timezone.now())


def told(sender):
    """What waits for a sender's node: (op, head) each."""
    entries = QueueEntry.objects.filter(node=sender.node).values_list("message__op", "message__head")
    return [(op, bytes(head).decode()) for op, head in entries]


def send(sender, to, body=b"{}the body of it", times=1):
    for _ in range(times):
        (number,) = posting.post([Post(sender, [Recipient(to.uid, TO_USER)], body, 2)])
    return number


def row_of(response, alias):
    """The prefix of the inline form whose alias this is."""
    (formset,) = [item.formset for item in response.context["inline_admin_formsets"] if item.formset.forms]
    (form,) = [form for form in formset.forms if str(form.instance) == alias]
    return form.prefix


def filled(response):
    """All values of a change page's forms, as a browser would send them."""
    values = {}
    forms = [response.context["adminform"].form]
    for item in response.context["inline_admin_formsets"]:
        forms += [item.formset.management_form, *item.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if not bound.field.disabled and value is not None and value is not False:
                values[bound.html_name] = "on" if value is True else value
    return values


@pytest.fixture
def ann():
    return register("ann of rome")


@pytest.fixture
def bob():
    return register("bob of rome")


@pytest.fixture
def choir(ann, bob):
    """Ann and Bob have joined, Cecil is invited; nothing waits."""
    register("cecil of rome")
    for name in ("bob of rome", "cecil of rome"):
        groups.invite(ann, CHOIR, "ann of rome", name)
    groups.join(bob, CHOIR)
    QueueEntry.objects.all().delete()
    return Group.objects.get(gid=CHOIR)


@pytest.fixture
def reader(client):
    """Someone who may look at everything, and change nothing."""
    account = Account.objects.create_user("reader", is_staff=True)
    account.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(account)
    return client


# -- looking


def populate(count, choir, ann):
    """More users with two nodes each, more members, more that waits."""
    for number in range(count):
        sender = register(f"singer number {count} {number}")
        users.add_node(sender, "phone")
        Member.objects.create(group=choir, user_id=sender.user, alias=f"singer number {count} {number}", status=2)
        send(ann, sender)


PAGES = ["user_changelist", "node_changelist", "group_changelist", "member_changelist", "serverlease_changelist"]


@pytest.mark.parametrize("page", PAGES)
def test_lists_take_as_many_queries_for_many_rows_as_for_few(
    admin_client, django_assert_max_num_queries, page, choir, ann
):
    leases.take("127.0.0.1:7443")
    populate(3, choir, ann)
    with django_assert_max_num_queries(12) as few:
        assert admin_client.get(url(page)).status_code == 200
    populate(30, choir, ann)
    with django_assert_max_num_queries(len(few)):
        assert admin_client.get(url(page)).status_code == 200


def test_pages_take_as_many_queries_for_many_rows_as_for_few(admin_client, django_assert_max_num_queries, choir, ann):
    pages = [url("user_change", ann.user), url("group_change", choir.pk), url("node_change", ann.node)]
    found = {}
    for count in (3, 30):
        populate(count, choir, ann)
        for number in range(count):
            users.add_node(ann, f"device {number}")
            users.add_alias(ann, f"ann the great {count} {number}")
        for page in pages:
            with django_assert_max_num_queries(found.get(page, 30)) as captured:
                assert admin_client.get(page).status_code == 200
            found[page] = len(captured)


def test_nothing_secret_is_shown(admin_client, choir, ann, bob):
    nodeids = [users.register("phone", "dora of rome").nodeid]
    users.add_node(ann, "phone")
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
    assert names == {"user", "node", "group", "member", "serverlease"}


@pytest.mark.parametrize("query", ["ann of rome", "{uid}", "{prefix}", "anna-account"])
def test_users_are_found(admin_client, ann, bob, query):
    users.link_account(User.objects.get(pk=ann.user), Account.objects.create_user("anna-account"))
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
    users.link_account(User.objects.get(pk=bob.user), Account.objects.create_user("bob"))
    send(ann, bob)
    shown = text(admin_client.get(url(page), query))
    assert {name for name in ("ann", "bob") if f">{name} of rome<" in shown} == found


def test_what_waits(admin_client, ann, bob, monkeypatch):
    send(ann, bob, b"{}" + 998 * b"x", times=3)
    shown = text(admin_client.get(url("node_changelist")))
    assert "3 · 2.9\xa0KB" in shown
    node = waiting.with_waiting(Node.objects.all(), counted=2, weighed=2).get(pk=bob.node)
    assert (waiting.shown_count(node), waiting.shown_octets(node)) == ("2+", "2.0\xa0KB+")
    nothing = waiting.with_waiting(Node.objects.all()).get(pk=ann.node)
    assert (waiting.shown_count(nothing), waiting.shown_octets(nothing), waiting.shown_age(nothing)) == ("0", "", "")


def test_the_oldest_may_have_either_rank(ann, bob):
    first = send(ann, bob)
    users.add_node(bob, "phone")
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


# -- who may do what


@pytest.mark.parametrize("model", ["user", "node", "group", "member", "serverlease"])
def test_no_rows_past_the_services(admin_client, choir, ann, model):
    leases.take("127.0.0.1:7443")
    pk = {"user": User, "node": Node, "group": Group, "member": Member, "serverlease": ServerLease}[model]
    pk = pk.objects.first().pk
    assert admin_client.get(url(f"{model}_delete", pk)).status_code == 403
    assert admin_client.post(url(f"{model}_delete", pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text(admin_client.get(url(f"{model}_changelist")))
    if model != "group":  # which is made by an invitation
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


# -- nodes


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
    assert told(bob)


def test_drop(admin_client, ann, bob):
    send(ann, bob)
    response = choose(admin_client, "drop", bob.node, confirmed="yes")
    assert "Drop: done for 1 node." in text(response)
    assert node_of(bob).dropped
    assert node_of(ann).dropped is None
    assert not told(bob)


def test_discard_takes_what_waits_and_leaves_the_node(admin_client, ann, bob):
    connect(bob, leases.take("127.0.0.1:7443").pk)
    send(ann, bob, times=2)
    choose(admin_client, "discard", bob.node, confirmed="yes")
    assert not told(bob)
    assert not Message.objects.filter(op="delivery").exists()
    assert node_of(bob).dropped is None
    assert node_of(bob).start_over  # its server forgets what it holds


def test_redeliver(admin_client, ann, bob):
    connect(bob, leases.take("127.0.0.1:7443").pk)
    send(ann, bob)
    assert "Send again: done for 1 node." in text(choose(admin_client, "redeliver", bob.node))
    assert node_of(bob).start_over
    assert told(bob)


def test_redeliver_to_one_who_is_not_connected_is_refused(admin_client, ann, bob):
    connect(bob, leases.take("127.0.0.1:7443").pk)
    response = choose(admin_client, "redeliver", ann.node, bob.node)
    assert "is not connected" in text(response)
    assert "done for 1 node." in text(response)
    assert node_of(ann).start_over is None


def test_login_clears_what_was_asked_for(ann):
    lease = leases.take("127.0.0.1:7443").pk
    connect(ann, lease)
    users.redeliver(node_of(ann))
    users.disconnect(ann.node, lease)
    connect(ann, lease)
    assert node_of(ann).start_over is None


def test_buttons_of_a_node(admin_client, bob):
    page = text(admin_client.get(url("node_change", bob.node)))
    assert url("node_question", bob.node, "drop") in page
    assert url("node_question", bob.node, "redeliver") not in page  # it is not connected
    assert "laptop · bob of rome" in text(admin_client.get(url("node_question", bob.node, "discard")))
    assert admin_client.get(url("node_question", bob.node, "explode")).status_code == 404
    assert admin_client.get(url("node_question", 999, "drop")).status_code == 404
    choose(admin_client, "drop", bob.node, confirmed="yes")
    assert url("node_question", bob.node, "drop") not in text(admin_client.get(url("node_change", bob.node)))


# -- groups


def change_member(client, group, alias, **values):
    page = url("group_change", group.pk)
    response = client.get(page)
    prefix = row_of(response, alias)
    return client.post(page, {**filled(response), **{f"{prefix}-{key}": value for key, value in values.items()}})


@pytest.mark.parametrize(
    ("alias", "act", "status", "op"),
    [
        ("bob of rome", "leave", Member.Status.INVITED, "drop"),
        ("bob of rome", "bar", Member.Status.BARRED, "drop"),
        ("cecil of rome", "bar", Member.Status.BARRED, "drop"),
        ("cecil of rome", "join", Member.Status.JOINED, "join"),
    ],
)
def test_members(admin_client, choir, ann, bob, alias, act, status, op):
    response = change_member(admin_client, choir, alias, act=act)
    assert response.status_code == 302
    member = Member.objects.get(group=choir, alias=alias)
    assert member.status == status
    for sender in (ann, bob):
        ((kind, head),) = told(sender)
        assert kind == "member"
        assert f'"act":"{op}"' in head
        assert f'"alias":"{alias}"' in head
    if alias.startswith("cecil"):
        assert QueueEntry.objects.filter(node__user=member.user).count() == 1


def test_rename(admin_client, choir, ann, bob):
    users.add_alias(bob, "robert of rome")
    QueueEntry.objects.all().delete()
    change_member(admin_client, choir, "bob of rome", known_as="robert of rome")
    assert Member.objects.get(user=bob.user).alias == "robert of rome"
    ((kind, head),) = told(ann)
    assert kind == "member"
    assert '"act":"alias"' in head
    assert '"newalias":"robert of rome"' in head


def test_a_page_that_is_out_of_date_is_refused(admin_client, choir, bob):
    page = url("group_change", choir.pk)
    response = admin_client.get(page)
    values = {**filled(response), f"{row_of(response, 'bob of rome')}-act": "leave"}
    Member.objects.filter(user=bob.user).update(status=Member.Status.BARRED)
    admin_client.post(page, values)
    assert Member.objects.get(user=bob.user).status == Member.Status.BARRED
    assert not QueueEntry.objects.exists()


def test_a_refusal_is_shown(admin_client, choir, settings):
    settings.TMTP = {**settings.TMTP, "LIMITS": {"members_per_group": 2}}
    response = change_member(admin_client, choir, "cecil of rome", act="join")
    shown = text(admin_client.get(response["Location"]))
    assert "which is the most a group may have" in shown
    assert "was changed successfully" not in shown
    assert Member.objects.get(alias="cecil of rome").status == Member.Status.INVITED


def test_many_members_at_once(admin_client, choir):
    chosen = list(Member.objects.values_list("pk", flat=True))
    data = {"action": "leave", "_selected_action": chosen}
    shown = text(admin_client.post(url("member_changelist"), data, follow=True))
    assert "done for 2 members" in shown
    assert "“cecil of rome” is invited in" in shown
    assert set(Member.objects.values_list("status", flat=True)) == {Member.Status.INVITED}


def test_invite(admin_client, choir, ann, bob):
    dora = register("dora of rome")
    page = url("group_invite", choir.pk)
    assert 'value="ann of rome"' in text(admin_client.get(page))
    response = admin_client.post(page, {"alias": "bob of rome", "to": "dora of rome"})
    assert response["Location"] == url("group_change", choir.pk)
    assert Member.objects.get(user=dora.user).status == Member.Status.INVITED
    ((kind, head),) = told(dora)
    assert kind == "invite"
    assert '"alias":"bob of rome"' in head
    assert [op for op, _ in told(ann)] == ["member"]


def test_barred_members_are_invited_again(admin_client, choir, bob):
    Member.objects.filter(user=bob.user).update(status=Member.Status.BARRED)
    (link,) = re.findall(r'href="([^"]*to=bob[^"]*)"', text(admin_client.get(url("group_change", choir.pk))))
    assert 'value="bob of rome"' in text(admin_client.get(link))


@pytest.mark.parametrize(
    ("alias", "to", "reason"),
    [
        ("nobody at all", "bob of rome", "Nobody has this alias."),
        ("ann of rome", "nobody at all", "alias nobody at all not found"),
        ("ann of rome", "bob of rome", "is a member of"),
        ("cecil of rome", "bob of rome", "you are not a member of"),
        ("", "bob of rome", "This field is required."),
    ],
)
def test_invitations_refused(admin_client, choir, alias, to, reason):
    shown = text(admin_client.post(url("group_invite", choir.pk), {"alias": alias, "to": to}))
    assert reason in shown
    assert not QueueEntry.objects.exists()


def test_a_group_is_made_by_an_invitation(admin_client, ann, bob):
    data = {"gid": "the gardeners", "alias": "ann of rome", "to": "bob of rome"}
    response = admin_client.post(url("group_add"), data)
    group = Group.objects.get(gid="the gardeners")
    assert response["Location"] == url("group_change", group.pk)
    assert [op for op, _ in told(bob)] == ["invite"]
    assert "is not available" in text(admin_client.post(url("group_add"), {**data, "gid": "ann of rome"}))
    assert Group.objects.count() == 1


def test_a_group_of_one_is_not_left_behind_by_a_refusal(admin_client, ann):
    data = {"gid": "the gardeners", "alias": "ann of rome", "to": "ann of rome"}
    assert "is a member of" in text(admin_client.post(url("group_add"), data))
    assert not Group.objects.exists()
    assert not Alias.objects.filter(name="the gardeners").exists()


# -- users


def change_user(client, sender, **values):
    page = url("user_change", sender.user)
    return client.post(page, {**filled(client.get(page)), **values}, follow=True)


def test_link_and_unlink_an_account(admin_client, ann):
    account = Account.objects.create_user("anna")
    change_user(admin_client, ann, account=account.pk)
    assert User.objects.get(pk=ann.user).account == account
    change_user(admin_client, ann, account="")
    assert User.objects.get(pk=ann.user).account is None


def test_an_account_is_one_user(admin_client, ann, bob):
    account = Account.objects.create_user("anna")
    change_user(admin_client, ann, account=account.pk)
    assert "already exists" in text(change_user(admin_client, bob, account=account.pk))
    with pytest.raises(users.Refused):
        users.link_account(User.objects.get(pk=bob.user), account)
    assert User.objects.get(pk=bob.user).account is None


def test_aliases(admin_client, ann):
    new = {"aliases-TOTAL_FORMS": 2, "aliases-1-name": "ann the singer", "aliases-1-user": ann.user}
    change_user(admin_client, ann, **new)
    assert Alias.objects.get(name="ann the singer").user_id == ann.user
    ((kind, head),) = told(ann)
    assert kind == "user"
    assert '"newalias":"ann the singer"' in head
    response = admin_client.get(url("user_change", ann.user))
    (formset,) = [
        item.formset for item in response.context["inline_admin_formsets"] if item.formset.prefix == "aliases"
    ]
    (prefix,) = [form.prefix for form in formset.forms if form.instance.name == "ann of rome"]
    change_user(admin_client, ann, **{f"{prefix}-drop": "on"})
    assert Alias.objects.get(name="ann of rome").dropped
    assert Alias.objects.get(name="ann the singer").dropped is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [("bob of rome", "already exists"), ("short", "8+ characters"), ("bob of r\u043eme", "not available")],
)
def test_aliases_refused(admin_client, ann, bob, name, reason):
    new = {"aliases-TOTAL_FORMS": 2, "aliases-1-name": name, "aliases-1-user": ann.user}
    shown = text(change_user(admin_client, ann, **new))
    assert reason in shown
    assert "was changed successfully" not in shown
    assert Alias.objects.filter(user=ann.user).count() == 1
    assert not told(ann)


# -- with a server that runs: the admin is in one process, the devices are connected to another


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
    assert await device.ended(timeout=3) is None
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
        header, body = await device.expect(op="delivery", timeout=5)
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
    await asyncio.sleep(1)
    for header, _ in heads:
        device.acknowledge(header["id"])  # opens the window
    sender.post("last", [device.uid], b"{}new")
    assert await deliveries(device, 1) == [b"{}new"]
