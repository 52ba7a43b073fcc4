"""Owners and moderators of groups, the rules of a group, and what they allow."""

from __future__ import annotations

from itertools import product

import pytest
from django.db import transaction
from django.utils import timezone

from tmtp.messaging import create_group, site_user
from tmtp.models import Group, Member, User
from tmtp.protocol.requests import TO_GROUP, Recipient
from tmtp.services.errors import Refused
from tmtp.services.groups import groups, moderation, roles
from tmtp.services.messages.fanout import Fanout
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.people import users
from tmtp.services.people.actors import Sender

from .people import ops, someone

pytestmark = pytest.mark.django_db
GID = "friends of rome"
NAMES = ("ann of rome", "bob of rome", "cat of rome", "dan of rome")
ANN, BOB, CAT, DAN = NAMES
MEMBER, MODERATOR, OWNER = Member.Role
Joining, Right = Group.Joining, Group.Right


@pytest.fixture
def people() -> list[Sender]:
    """Ann has founded the group, Bob and Cat have joined, Dan is no member."""
    ann, bob, cat, dan = (someone(name) for name in NAMES)
    groups.invite(ann, GID, ANN, BOB)
    groups.invite(ann, GID, ANN, CAT)
    for one in (bob, cat):
        groups.join(one, GID)
    return [ann, bob, cat, dan]


def the_group() -> Group:
    return Group.objects.get(gid=GID)


def place(sender: Sender) -> Member:
    return Member.objects.get(group__gid=GID, user=sender.user)


def set_role(sender: Sender, role: Member.Role, by: Sender | None = None) -> None:
    roles.set_role(the_group(), User.objects.get(pk=sender.user), role, by=place(by) if by else None)


def set_rules(joining: int = Joining.INVITED, posting: int = Right.MEMBERS, barring: int = Right.MEMBERS) -> None:
    roles.set_rules(the_group(), joining=joining, posting=posting, barring=barring)


def owner() -> str | None:
    return Member.objects.filter(group__gid=GID, role=OWNER).values_list("alias", flat=True).first()


def test_the_founder_is_the_owner(people: list[Sender]) -> None:
    assert [place(one).role for one in people[:3]] == [OWNER, MEMBER, MEMBER]


@pytest.mark.parametrize("how", ["leaves", "is barred", "is barred by the site", "is deleted"])
def test_ownership_passes_on(people: list[Sender], how: str) -> None:
    ann, bob, cat, _ = people
    set_role(cat, MODERATOR)
    for one, heir in ((ann, CAT), (cat, BOB), (bob, None)):
        if how == "is barred" and heir:
            groups.drop(bob, GID, place(one).alias)
        elif how == "is barred by the site":
            moderation.bar(place(one))
        elif how == "is deleted":
            User.objects.get(pk=one.user).delete()
        else:
            groups.drop(one, GID, place(one).alias)
        assert owner() == heir
    assert not Member.objects.filter(group__gid=GID, role__gt=MEMBER).exists()


def test_who_comes_first_to_an_empty_group_owns_it(people: list[Sender]) -> None:
    for one in people[:3]:
        groups.drop(one, GID, place(one).alias)
    groups.join(people[1], GID)
    groups.join(people[0], GID)
    assert owner() == BOB


def test_a_person_comes_before_the_site(people: list[Sender]) -> None:
    Member.objects.create(  # it is there longest
        pk=-1, group=the_group(), user=site_user(), alias="the site", status=Member.Status.JOINED
    )
    groups.drop(people[0], GID, ANN)
    assert owner() == BOB


def test_whoever_is_disabled_comes_last(people: list[Sender]) -> None:
    ann, bob, cat, _dan = people
    set_role(bob, MODERATOR)
    User.objects.filter(pk=bob.user).update(disabled=timezone.now())
    groups.drop(ann, GID, ANN)
    assert owner() == CAT
    groups.drop(cat, GID, CAT)
    assert owner() == BOB


def test_a_deleted_group_takes_its_members_along(people: list[Sender]) -> None:
    the_group().delete()
    assert not Member.objects.exists()


def test_the_owner_gives_roles_and_nobody_else_does(people: list[Sender]) -> None:
    ann, bob, cat, _ = people
    set_role(bob, MODERATOR, by=ann)
    for one in (bob, cat):
        with pytest.raises(Refused, match="only the owner"):
            set_role(cat, MODERATOR, by=one)
    with pytest.raises(Refused, match="another member the owner"):
        set_role(ann, MEMBER, by=ann)
    set_role(cat, OWNER, by=ann)
    assert [place(one).role for one in (ann, bob, cat)] == [MODERATOR, MODERATOR, OWNER]
    set_role(cat, OWNER)
    assert owner() == CAT
    set_role(ann, MEMBER, by=cat)
    assert place(ann).role == MEMBER


def test_only_joined_members_have_roles(people: list[Sender]) -> None:
    _, bob, _, dan = people
    groups.drop(bob, GID, BOB)
    with pytest.raises(Refused, match="invited"):
        set_role(bob, OWNER)
    with pytest.raises(Refused, match="not a member"):
        set_role(dan, MODERATOR)
    assert owner() == ANN


def test_the_owner_sets_rules_and_nobody_else_does(people: list[Sender]) -> None:
    ann, bob, _, _ = people
    rules = {"joining": Joining.CLOSED, "posting": Right.MODERATORS, "barring": Right.MODERATORS}
    set_role(bob, MODERATOR)
    with pytest.raises(Refused, match="only the owner"):
        roles.set_rules(the_group(), **rules, by=place(bob))
    roles.set_rules(the_group(), **rules, by=place(ann))
    with pytest.raises(Refused, match="anyone may join"):
        set_rules(joining=Joining.ANYONE)
    group = the_group()
    assert {name: getattr(group, name) for name in rules} == rules


def test_who_may_bar_whom(people: list[Sender]) -> None:
    """Return to the state before each attempt. With the rules of the protocol, each member may bar each other."""
    ann, bob, cat, dan = people
    groups.invite(ann, GID, ANN, DAN)
    groups.join(dan, GID)
    for one in (bob, dan):
        set_role(one, MODERATOR)
    may = {}
    for barring, (by, other) in product(Right, product((ann, bob, cat), (ann, cat, dan))):
        if by is other:
            continue
        set_rules(barring=barring)
        with transaction.atomic():
            try:
                groups.drop(by, GID, place(other).alias)
                may[barring, by.uid, other.uid] = True
            except Refused:
                may[barring, by.uid, other.uid] = False
            transaction.set_rollback(True)
    allowed = {(by, other) for (barring, by, other), fine in may.items() if fine and barring == Right.MODERATORS}
    assert allowed == {(ann.uid, cat.uid), (ann.uid, dan.uid), (bob.uid, cat.uid)}
    assert all(fine for (barring, *_), fine in may.items() if barring == Right.MEMBERS)


def test_anyone_may_leave(people: list[Sender]) -> None:
    set_rules(Joining.CLOSED, Right.MODERATORS, Right.MODERATORS)
    groups.drop(people[2], GID, CAT)
    assert place(people[2]).status == Member.Status.INVITED


def test_in_a_closed_group_moderators_invite(people: list[Sender]) -> None:
    _, bob, _, _ = people
    set_rules(Joining.CLOSED)
    with pytest.raises(Refused, match="only the owner and moderators of"):
        groups.invite(bob, GID, BOB, DAN)
    set_role(bob, MODERATOR)
    groups.invite(bob, GID, BOB, DAN)


def test_who_is_barred_is_invited_by_those_who_may_bar(people: list[Sender]) -> None:
    ann, bob, cat, _ = people
    set_rules(barring=Right.MODERATORS)
    groups.drop(ann, GID, CAT)
    with pytest.raises(Refused, match="barred"):
        groups.invite(bob, GID, BOB, CAT)
    groups.invite(ann, GID, ANN, CAT)
    groups.join(cat, GID)


def test_anyone_joins_an_open_group(people: list[Sender], settings: object) -> None:
    ann, _, cat, dan = people
    nameless = someone()
    set_rules(Joining.ANYONE, barring=Right.MODERATORS)
    with pytest.raises(Refused, match="alias is needed"):
        groups.join(nameless, GID)
    for not_theirs in (ANN, "nobody at all"):
        for one in (nameless, dan):
            with pytest.raises(Refused, match="newalias must identify sender"):
                groups.join(one, GID, not_theirs)
    assert not Member.objects.filter(user__in=(nameless.user, dan.user)).exists()
    users.add_alias(dan, "daniel of rome")
    groups.join(dan, GID, "daniel of rome")
    assert (place(dan).alias, place(dan).role) == ("daniel of rome", MEMBER)
    groups.drop(ann, GID, CAT)
    with pytest.raises(Refused, match="not invited"):
        groups.join(cat, GID)


def test_limits_count_for_open_groups(people: list[Sender], settings: object) -> None:
    set_rules(Joining.ANYONE, barring=Right.MODERATORS)
    create_group("another group", User.objects.get(pk=people[3].user))
    for limits in ({"groups_per_user": 1}, {"members_per_group": 3}):
        settings.TMTP = {**settings.TMTP, "LIMITS": limits}  # type: ignore[attr-defined]
        with pytest.raises(Refused, match="most"):
            groups.join(people[3], GID)


# announcements


def results(*senders: Sender) -> list[bool]:
    """Return which of these senders, each with a post of their own in one batch, may post to the group."""
    with transaction.atomic():
        done = post([Post(one, [Recipient(GID, TO_GROUP)], b"hello") for one in senders])
    return [isinstance(result, int | Fanout) for result in done]


@pytest.mark.parametrize("at_once", [250, 1])
def test_to_an_announcement_group_moderators_post(
    people: list[Sender], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """The same for a group that is so large that posts to it take several transactions."""
    monkeypatch.setattr("tmtp.services.messages.directory.AT_ONCE", at_once)
    ann, bob, *_ = people
    groups.invite(ann, GID, ANN, DAN)
    assert results(*people) == [True] * 4
    set_rules(posting=Right.MODERATORS)
    assert results(*people) == [True, False, False, False]
    set_role(bob, MODERATOR)
    assert results(*people) == [True, True, False, False]
    groups.drop(bob, GID, BOB)
    groups.drop(ann, GID, ANN)  # Cat owns it now
    assert results(*people) == [False, False, True, False]


def test_nobody_gets_a_refused_post_to_an_announcement_group(people: list[Sender]) -> None:
    _, bob, _, dan = people
    set_rules(posting=Right.MODERATORS)
    to = [Recipient(GID, TO_GROUP), Recipient(dan.uid, 1)]
    with transaction.atomic():
        (refused,) = post([Post(bob, to, b"hello")])
    assert str(refused) == f"only the owner and moderators of {GID} post"
    assert "delivery" not in ops(dan)


# groups of the site


def test_the_site_creates_a_group_of_its_own() -> None:
    news = create_group("news of rome", posting=Right.MODERATORS, joining=Joining.ANYONE)
    member = news.members.get()
    assert (member.user.is_site, member.role, news.barring) == (True, OWNER, Right.MODERATORS)
    ann = someone(ANN)
    groups.join(ann, "news of rome")
    roles.set_role(news, User.objects.get(pk=ann.user), MODERATOR)
    news.refresh_from_db()
    assert (news.posting, news.joining) == (Right.MODERATORS, Joining.ANYONE)


def test_the_site_creates_a_group_for_a_member() -> None:
    ann, nameless = (User.objects.get(pk=someone(name).user) for name in (ANN, ""))
    assert create_group(GID, ann).members.get().alias == ANN
    for gid, user in ((GID, ann), ("short", ann), ("group of nobody", nameless)):
        with pytest.raises(Refused):
            create_group(gid, user)
    with pytest.raises(Refused, match="anyone may join"):
        create_group("another group", ann, joining=Joining.ANYONE, barring=Right.MEMBERS)
    assert Group.objects.count() == 1


def test_a_site_may_leave_barring_to_moderators(settings: object) -> None:
    settings.TMTP = {**settings.TMTP, "MEMBERS_MAY_BAR": False}  # type: ignore[attr-defined]
    ann, _ = someone(ANN), someone(BOB)
    groups.invite(ann, GID, ANN, BOB)
    assert the_group().barring == Right.MODERATORS
