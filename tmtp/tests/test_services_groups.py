"""Groups: every action of a member (ops 5 and 6), its messages, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from tmtp.models import Alias, Group, Member
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.people import users
from tmtp.services.people.actors import Sender

from .people import forget, ops, own, someone, waiting

pytestmark = pytest.mark.django_db
GID = "friends of rome"
ANN, BOB, CAT, DAN = "ann of rome", "bob of rome", "cat of rome", "dan of rome"
INVITED, JOINED, BARRED = groups.INVITED, groups.JOINED, groups.BARRED


def status(alias: str) -> int | None:
    return Member.objects.filter(group__gid=GID, alias=alias).values_list("status", flat=True).first()


def members_told(person: Sender) -> list[dict[str, Any]]:
    """Return the `member` messages that wait for a node, without common members, and delete them."""
    std = {"op", "id", "posted", "headsum", "datalen", "from"}
    told = [{key: value for key, value in header.items() if key not in std} for header in waiting(person)]
    forget(person)
    return told


@pytest.fixture
def ann() -> Sender:
    return someone(ANN)


@pytest.fixture
def bob() -> Sender:
    return someone(BOB)


@pytest.fixture
def cat() -> Sender:
    return someone(CAT)


@pytest.fixture
def group(ann: Sender, bob: Sender, cat: Sender) -> Group:
    """Ann and Bob have joined, Cat is invited."""
    groups.invite(ann, GID, ANN, BOB)
    groups.join(bob, GID)
    groups.invite(bob, GID, BOB, CAT)
    forget(ann, bob, cat)
    return Group.objects.get(gid=GID)


def test_the_first_invitation_makes_the_group(bob: Sender) -> None:
    ann = someone(ANN, nodes=2)
    number = groups.invite(ann, GID, ANN, BOB, b"come in")
    assert (status(ANN), status(BOB)) == (JOINED, INVITED)
    (invite,) = waiting(bob)
    assert {key: invite[key] for key in ("op", "gid", "alias", "to", "data", "from", "id")} == {
        "op": "invite",
        "gid": GID,
        "alias": ANN,
        "to": BOB,
        "data": b"come in",
        "from": ann.uid,
        "id": f"{number:016x}",
    }
    sending, other = own(ann)
    assert (ops(sending), ops(other)) == (["member"], ["invite", "member"])
    assert [(header["act"], header["gid"], header["alias"]) for header in waiting(sending)] == [("invite", GID, BOB)]


def test_a_failed_invitation_leaves_no_group(ann: Sender, bob: Sender) -> None:
    users.drop_alias(Alias.objects.get(name=BOB))
    attempts = [(GID, ANN, "nobody at all"), (GID, CAT, ANN), (GID, ANN, BOB), ("short", ANN, BOB), (CAT, ANN, BOB)]
    someone(CAT)
    for gid, alias, invitee in attempts:
        with pytest.raises(Refused):
            groups.invite(ann, gid, alias, invitee)
    assert not Group.objects.exists()
    assert not Alias.objects.filter(name=GID).exists()
    assert waiting(ann) == []


def test_nobody_invites_themselves(ann: Sender) -> None:
    from django.db import transaction

    with pytest.raises(Refused), transaction.atomic():
        groups.invite(ann, GID, ANN, ANN)
    assert not Group.objects.exists()


def test_a_gid_is_no_alias_and_an_alias_no_gid(group: Group, ann: Sender) -> None:
    for alike in (GID, GID.replace("o", "о")):
        with pytest.raises(Refused, match="newalias"):
            users.add_alias(ann, alike)
    with pytest.raises(Refused, match="gid"):
        groups.invite(ann, CAT, ANN, BOB)
    with pytest.raises(Refused, match="gid must be 8\\+ characters"):
        groups.invite(ann, "friends", ANN, BOB)


def test_joined_members_invite_and_others_do_not(group: Group, cat: Sender) -> None:
    dan = someone(DAN)
    for person, alias in ((cat, CAT), (dan, DAN)):
        with pytest.raises(Refused, match="not a member"):
            groups.invite(person, GID, alias, DAN)
    assert status(DAN) is None


def test_an_invitation_may_come_again(group: Group, ann: Sender, cat: Sender) -> None:
    groups.invite(ann, GID, ANN, CAT)
    assert ops(cat) == ["invite"]
    assert status(CAT) == INVITED
    with pytest.raises(Refused, match="already"):
        groups.invite(ann, GID, ANN, BOB)
    with pytest.raises(Refused, match="from must identify sender"):
        groups.invite(ann, GID, BOB, CAT)


def test_joining(group: Group, ann: Sender, bob: Sender, cat: Sender) -> None:
    groups.join(cat, GID)
    assert status(CAT) == JOINED
    for person in (ann, bob, cat):
        assert members_told(person) == [{"act": "join", "gid": GID, "alias": CAT}]
    groups.join(cat, GID)
    assert members_told(ann) == [{"act": "join", "gid": GID, "alias": CAT}]


def test_joining_under_another_of_ones_aliases(group: Group, ann: Sender, cat: Sender) -> None:
    users.add_alias(cat, "catherine of rome")
    for not_hers in (ANN, "nobody at all"):
        with pytest.raises(Refused, match="newalias must identify sender"):
            groups.join(cat, GID, not_hers)
    assert status(CAT) == INVITED
    groups.join(cat, GID, "catherine of rome")
    assert members_told(ann) == [{"act": "join", "gid": GID, "alias": "catherine of rome"}]


def test_joining_needs_an_invitation(group: Group) -> None:
    dan = someone(DAN)
    for gid, reason in ((GID, "not invited"), ("no such group", "not found")):
        with pytest.raises(Refused, match=reason):
            groups.join(dan, gid)


def test_another_alias_in_the_group(group: Group, ann: Sender, bob: Sender, cat: Sender) -> None:
    users.add_alias(bob, "robert of rome")
    forget(bob)
    groups.rename(bob, GID, "robert of rome")
    for person in (ann, bob):
        assert members_told(person) == [{"act": "alias", "gid": GID, "alias": BOB, "newalias": "robert of rome"}]
    assert waiting(cat) == []
    for person, alias in ((bob, ANN), (cat, CAT)):
        with pytest.raises(Refused):
            groups.rename(person, GID, alias)


def test_who_leaves_may_come_back(group: Group, ann: Sender, bob: Sender) -> None:
    groups.drop(bob, GID, BOB)
    assert status(BOB) == INVITED
    for person in (ann, bob):
        assert members_told(person) == [{"act": "drop", "gid": GID, "alias": BOB}]
    groups.join(bob, GID)
    assert status(BOB) == JOINED


@pytest.mark.parametrize("dropped", [BOB, CAT])
def test_whom_another_drops_is_barred_and_told(
    group: Group, ann: Sender, bob: Sender, cat: Sender, dropped: str
) -> None:
    person = bob if dropped == BOB else cat
    groups.drop(ann, GID, dropped)
    assert status(dropped) == BARRED
    assert members_told(person) == members_told(ann) == [{"act": "drop", "gid": GID, "alias": dropped}]


def test_the_barred_do_nothing_until_invited_again(group: Group, ann: Sender, bob: Sender) -> None:
    groups.drop(ann, GID, BOB)
    forget(ann)
    attempts = [
        lambda: groups.join(bob, GID),
        lambda: groups.drop(bob, GID, BOB),  # nor leave, which would make them invited
        lambda: groups.drop(bob, GID, ANN),
        lambda: groups.rename(bob, GID, BOB),
        lambda: groups.invite(bob, GID, BOB, CAT),
    ]
    for attempt in attempts:
        with pytest.raises(Refused):
            attempt()
    assert (status(BOB), waiting(ann)) == (BARRED, [])
    groups.invite(ann, GID, ANN, BOB)
    assert status(BOB) == INVITED
    groups.join(bob, GID)
    assert status(BOB) == JOINED


def test_the_barred_come_back_under_the_alias_they_are_invited_by(group: Group, ann: Sender, bob: Sender) -> None:
    users.add_alias(bob, "robert of rome")
    groups.drop(ann, GID, BOB)
    groups.invite(ann, GID, ANN, "robert of rome")
    groups.join(bob, GID)
    assert members_told(ann)[-1] == {"act": "join", "gid": GID, "alias": "robert of rome"}


def test_only_joined_members_drop_others(group: Group, cat: Sender) -> None:
    for person in (cat, someone(DAN)):
        with pytest.raises(Refused, match="not a member"):
            groups.drop(person, GID, ANN)
    assert status(ANN) == JOINED


def test_dropping_who_is_not_there(group: Group, ann: Sender) -> None:
    for gid, alias in ((GID, "nobody at all"), ("no such group", BOB)):
        with pytest.raises(Refused):
            groups.drop(ann, gid, alias)


def test_limits(group: Group, ann: Sender, cat: Sender, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"groups_per_user": 1, "members_per_group": 2}}
    with pytest.raises(Refused, match="1 groups"):
        groups.invite(ann, "another group", ANN, BOB)
    with pytest.raises(Refused, match="2 members"):
        groups.join(cat, GID)
    groups.join(ann, GID)
    settings.TMTP = {**settings.TMTP, "LIMITS": None}
    groups.join(cat, GID)


def test_a_group_is_not_made_twice():
    ann, bob = someone(ANN), someone(BOB)
    groups.create(ann, GID, ANN)
    with pytest.raises(Refused, match="is not available"):
        groups.create(bob, GID, BOB)
    assert Member.objects.filter(group__gid=GID).count() == 1
