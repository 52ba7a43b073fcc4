import re

import pytest

from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import filled, register, row_of, text, url, waiting_for
from tmtp.models import Alias, Group, Member, QueueEntry
from tmtp.services.people import users

pytestmark = [pytest.mark.once, pytest.mark.django_db]
ann, bob, choir = admin_pages.ann, admin_pages.bob, admin_pages.choir


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
        ((kind, head),) = waiting_for(sender)
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
    ((kind, head),) = waiting_for(ann)
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
    assert "The group is full: it cannot have more than 2 members." in shown
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
    ((kind, head),) = waiting_for(dora)
    assert kind == "invite"
    assert '"alias":"bob of rome"' in head
    assert [op for op, _ in waiting_for(ann)] == ["member"]


def test_barred_members_are_invited_again(admin_client, choir, bob):
    Member.objects.filter(user=bob.user).update(status=Member.Status.BARRED)
    (link,) = re.findall(r'href="([^"]*to=bob[^"]*)"', text(admin_client.get(url("group_change", choir.pk))))
    assert 'value="bob of rome"' in text(admin_client.get(link))


@pytest.mark.parametrize(
    ("alias", "to", "reason"),
    [
        ("nobody at all", "bob of rome", "No user has this alias."),
        ("ann of rome", "nobody at all", "No member is named “nobody at all”."),
        ("ann of rome", "bob of rome", "“bob of rome” is already a member."),
        ("cecil of rome", "bob of rome", "You are not a member of “the choir of St. Olav”."),
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
    assert [op for op, _ in waiting_for(bob)] == ["invite"]
    assert "“ann of rome” is already taken, or looks like a name that is." in text(
        admin_client.post(url("group_add"), {**data, "gid": "ann of rome"})
    )
    assert Group.objects.count() == 1


def test_a_group_of_one_is_not_left_behind_by_a_refusal(admin_client, ann):
    data = {"gid": "the gardeners", "alias": "ann of rome", "to": "ann of rome"}
    assert "“ann of rome” is already a member." in text(admin_client.post(url("group_add"), data))
    assert not Group.objects.exists()
    assert not Alias.objects.filter(name="the gardeners").exists()


# rules and roles


RULES = ("joining", "posting", "barring")


def set_rules(client, group, **rules):
    page = url("group_change", group.pk)
    return text(client.post(page, {**filled(client.get(page)), **rules}, follow=True))


def test_rules(admin_client, choir):
    assert "was changed successfully" in set_rules(admin_client, choir, joining=3, posting=2, barring=2)
    choir.refresh_from_db()
    assert [getattr(choir, name) for name in RULES] == [3, 2, 2]
    shown = set_rules(admin_client, choir, barring=1)
    assert "In an open group" in shown
    assert "was changed successfully" not in shown
    choir.refresh_from_db()
    assert choir.barring == Group.Right.MODERATORS


def test_roles(admin_client, choir, ann, bob):
    change_member(admin_client, choir, "bob of rome", act="moderator")
    assert Member.objects.get(user=bob.user).role == Member.Role.MODERATOR
    change_member(admin_client, choir, "bob of rome", act="owner")
    assert {member.user_id: member.role for member in choir.members.filter(role__gt=1)} == {
        bob.user: Member.Role.OWNER,
        ann.user: Member.Role.MODERATOR,
    }
    chosen = list(Member.objects.values_list("pk", flat=True))
    shown = text(
        admin_client.post(url("member_changelist"), {"action": "make_plain", "_selected_action": chosen}, follow=True)
    )
    assert "done for 1 member." in shown
    assert "Make another member the owner" in shown
    assert not QueueEntry.objects.exists()  # the protocol has no message for it


def test_the_owner_whom_the_site_bars_has_a_successor(admin_client, choir, ann, bob):
    change_member(admin_client, choir, "ann of rome", act="bar")
    assert Member.objects.get(user=bob.user).role == Member.Role.OWNER
