"""The pages on which a group's owner and moderators decide, and groups that anyone may join."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from tmtp.models import Group, Member
from tmtp.services.groups import groups, roles
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import user_of
from tmtp.web import limits

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ANN, BOB, CAT, GID = "ann of rome", "bob of rome", "cat of rome", "friends of rome"
RULES = {"joining": 3, "posting": 2, "barring": 2}


def member(name: str) -> Sender:
    user = user_of(get_user_model().objects.create_user(name))
    node, _ = devices.make_node(user, "laptop")
    users.add_alias(Sender(user.uid, user.pk), f"{name} of rome")
    return Sender(user.uid, user.pk, node.pk)


@pytest.fixture(autouse=True)
def people() -> dict[str, Sender]:
    """Ann has founded the group, Bob has joined, and Cat is no member."""
    limits.limits.cache_clear()
    there = {name: member(name) for name in ("ann", "bob", "cat")}
    groups.invite(there["ann"], GID, ANN, BOB)
    groups.join(there["bob"], GID)
    return there


def group() -> Group:
    return Group.objects.get(gid=GID)


def place(alias: str) -> Member:
    return Member.objects.get(group__gid=GID, alias=alias)


def go(name: str, page: str, *args: Any, **fields: Any) -> tuple[int, str]:
    """Show a page to a member, or send them a form. Return the status code and the text of the page."""
    client = Client()
    client.force_login(get_user_model().objects.get(username=name))
    where = reverse(f"tmtp_pages:{page}", args=[group().pk, *args])
    response = client.post(where, fields, follow=True) if fields else client.get(where)
    return response.status_code, response.content.decode()


def test_the_owner_sets_rules() -> None:
    assert "Who can join?" in go("ann", "group_rules")[1]
    status, page = go("ann", "group_rules", **RULES)
    assert status == 200 and "Saved." in page
    assert {name: getattr(group(), name) for name in RULES} == RULES
    assert "Only the owner and moderators can write" in page and "Anyone may join" in page


@pytest.mark.parametrize("given", [{}, {"joining": 7}, {"joining": "x"}, {"barring": 1}, {"posting": ""}])
def test_rules_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    fields = {**RULES, **given} if given else {"joining": 3}
    page = go("ann", "group_rules", **fields)[1]
    assert "errorlist" in page
    assert group().joining == Group.Joining.INVITED


def test_nobody_else_sets_rules_or_roles() -> None:
    roles.set_role(group(), place(BOB).user, Member.Role.MODERATOR)
    for name in ("bob", "cat"):
        assert go(name, "group_rules")[0] == 404
        assert go(name, "group_rules", **RULES)[0] == 404
        go(name, "group_role", place(ANN).pk, role=1)
    assert (place(ANN).role, group().posting) == (Member.Role.OWNER, Group.Right.MEMBERS)


def test_the_owner_gives_roles() -> None:
    page = go("ann", "group_member", place(BOB).pk)[1]
    assert "Role in the group" in page
    assert "Role in the group" not in go("bob", "group_member", place(ANN).pk)[1]
    go("ann", "group_role", place(BOB).pk, role=2)
    assert place(BOB).role == Member.Role.MODERATOR
    assert "errorlist" in go("ann", "group_role", place(BOB).pk, role=9)[1]
    go("ann", "group_role", place(BOB).pk, role=3)
    assert (place(BOB).role, place(ANN).role) == (Member.Role.OWNER, Member.Role.MODERATOR)
    assert "If you leave, ann of rome becomes the owner" in go("bob", "group_leave")[1]


def test_who_may_bar_does() -> None:
    roles.set_rules(group(), joining=1, posting=1, barring=2)
    assert "Bar from" not in go("bob", "group_member", place(ANN).pk)[1]
    assert "Only the owner and moderators can bar" in go("bob", "group_bar", place(ANN).pk, x=1)[1]
    assert "Bar from" in go("ann", "group_member", place(BOB).pk)[1]
    assert "“bob of rome” has been barred" in go("ann", "group_bar", place(BOB).pk, x=1)[1]
    assert place(BOB).status == Member.Status.BARRED
    assert "Invite again" in go("ann", "group_member", place(BOB).pk)[1]
    go("ann", "group_invite", to=BOB)
    assert place(BOB).status == Member.Status.INVITED
    assert "Withdraw invitation" in go("ann", "group_member", place(BOB).pk)[1]


def test_who_may_not_bar_does_not_see_the_barred() -> None:
    groups.invite(Sender(place(ANN).user.uid, place(ANN).user_id), GID, ANN, CAT)
    groups.drop(Sender(place(ANN).user.uid, place(ANN).user_id), GID, CAT)
    assert CAT in go("bob", "group")[1]
    roles.set_rules(group(), joining=1, posting=1, barring=2)
    assert CAT not in go("bob", "group")[1]
    assert go("bob", "group_member", place(CAT).pk)[0] == 404
    assert CAT in go("ann", "group")[1]
    assert go("cat", "group")[0] == 404


def test_what_the_rules_do_not_allow_is_not_offered() -> None:
    assert "Invite a member" in go("bob", "group")[1]
    roles.set_rules(group(), joining=2, posting=2, barring=2)
    assert "Invite a member" not in go("bob", "group")[1]
    assert "Only the owner and moderators can invite" in go("bob", "group_invite", to=CAT)[1]


def test_anyone_finds_and_joins_an_open_group() -> None:
    client = Client()
    client.force_login(get_user_model().objects.get(username="cat"))
    open_groups = reverse("tmtp_pages:groups_open")
    assert go("cat", "group")[0] == 404
    assert GID not in client.get(open_groups).content.decode()
    roles.set_rules(group(), joining=3, posting=1, barring=2)
    assert GID in client.get(open_groups, {"q": "ROME"}).content.decode()
    for other in ("paris", "%", "\0", "_"):
        assert (GID in client.get(open_groups, {"q": other}).content.decode()) == (other == "\0")
    page = go("cat", "group")[1]
    assert "anyone may join" in page and BOB not in page
    go("cat", "group_join", alias=CAT)
    assert place(CAT).status == Member.Status.JOINED
    assert GID not in client.get(open_groups).content.decode()
    assert BOB in go("cat", "group")[1]
