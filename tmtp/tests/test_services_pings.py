"""How often users may ping and invite each other in a day."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from tmtp.models import Group, LimitCount, Member
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages.posting import ping
from tmtp.services.people import users
from tmtp.services.people.actors import Sender
from tmtp.services.people.site import site_user

from .people import ops, someone, unique

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    most = {"pings_per_pair": 4, "pings_per_stranger": 2, "pings_to_user": 6}
    settings.TMTP = {**settings.TMTP, "LIMITS": most}


class Person:
    def __init__(self) -> None:
        self.alias = unique("pinging ")
        self.sender: Sender = someone(self.alias)

    def pings(self, to: str) -> str:
        """Ping a name. Return the code of the refusal, or nothing."""
        try:
            with transaction.atomic():
                ping(self.sender, self.alias, to, b"hello")
        except Refused as refused:
            return refused.code
        return ""


def test_a_stranger_is_pinged_less_than_somebody_in_the_same_group() -> None:
    ann, bob, cid = Person(), Person(), Person()
    gid = unique("group of ")
    groups.invite(ann.sender, gid, ann.alias, bob.alias)  # counts, too
    assert [ann.pings(bob.alias) for _ in range(2)] == ["", "too_many_pings_to"], "the invited are strangers"
    groups.join(bob.sender, gid)
    assert [ann.pings(bob.alias) for _ in range(3)] == ["", "", ""]
    assert [ann.pings(cid.alias) for _ in range(3)] == ["", "", "too_many_pings_to"]
    assert [bob.pings(ann.alias) for _ in range(5)] == ["", "", "", "", "too_many_pings_to"]
    Member.objects.filter(user=bob.sender.user).update(status=Member.Status.BARRED)
    assert ann.pings(bob.alias) == "too_many_pings_to"


def test_other_aliases_make_no_difference() -> None:
    ann, bob = Person(), Person()
    other = unique("another name ")
    users.add_alias(bob.sender, other)
    assert [ann.pings(name) for name in (bob.alias, other, other)] == ["", "", "too_many_pings_to"]


def test_invitations_are_counted_with_pings() -> None:
    ann, bob = Person(), Person()
    assert [ann.pings(bob.alias) for _ in range(2)] == ["", ""]
    with pytest.raises(Refused, match="many pings and invitations"), transaction.atomic():
        groups.invite(ann.sender, unique("group of "), ann.alias, bob.alias)


def test_a_user_gets_so_many_from_all_others() -> None:
    bob, friends, strangers = Person(), [Person() for _ in range(2)], [Person() for _ in range(3)]
    gid = unique("group of ")
    groups.create(bob.sender, gid, bob.alias)
    for friend in friends:
        Member.objects.create(group=Group.objects.get(gid=gid), user_id=friend.sender.user, alias="x", status=2)
    answers = [stranger.pings(bob.alias) for stranger in strangers for _ in range(2)]
    assert answers == [""] * 3 + ["gets_too_many_pings"] * 3, "strangers cannot keep others out"
    answers = [friend.pings(bob.alias) for friend in friends for _ in range(2)]
    assert answers == [""] * 3 + ["gets_too_many_pings"]
    assert ops(bob.sender) == ["ping"] * 6
    assert list(LimitCount.objects.filter(amount__gt=5).values_list("amount", flat=True)) == [
        pytest.approx(6, abs=0.1)
    ], "what was refused is not counted"


def test_the_site_and_oneself_are_not_protected() -> None:
    ann = Person()
    assert [ann.pings(ann.alias) for _ in range(8)] == [""] * 8
    assert not LimitCount.objects.exists()
    name = site_user().aliases.get().name
    assert "gets_too_many_pings" not in [other.pings(name) for other in [Person() for _ in range(4)] for _ in range(2)]


def test_lifted_limits_count_nothing(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": None}
    ann, bob = Person(), Person()
    assert [ann.pings(bob.alias) for _ in range(9)] == [""] * 9
    assert not LimitCount.objects.exists()
