"""How often a user may join, decline and change their alias in groups in a day: all members are told each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from tmtp.models import Group, LimitCount, Member
from tmtp.services.errors import Refused
from tmtp.services.groups import groups, site_groups
from tmtp.services.people import users

from .people import someone, unique

pytestmark = pytest.mark.django_db
OVER = "too_many_group_changes"


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    most = {"group_changes_per_member": 4, "group_changes_per_user": 7}
    settings.TMTP = {**settings.TMTP, "LIMITS": most}


def code(act: Callable[[], object]) -> str:
    """Return the code of the refusal, or nothing."""
    try:
        with transaction.atomic():
            act()
    except Refused as refused:
        return refused.code
    return ""


def open_group() -> str:
    gid = unique("open group of ")
    site_groups.create_group(gid, joining=Group.Joining.ANYONE)
    return gid


def test_joining_and_leaving_over_and_over_ends_but_leaving_is_always_allowed() -> None:
    alias, gid, other = unique("fickle "), open_group(), open_group()
    ann = someone(alias)
    said = [(code(partial(groups.join, ann, gid)), code(partial(groups.drop, ann, gid, alias))) for _ in range(4)]
    assert said == [("", "")] * 4
    assert code(partial(groups.join, ann, gid)) == OVER
    assert [code(partial(groups.join, ann, other)) for _ in range(4)] == ["", "", "", OVER], "the user's limit"
    assert code(partial(groups.drop, ann, other, alias)) == ""
    assert code(partial(groups.join, someone(unique("another ")), gid)) == ""


def test_so_does_joining_again_declining_again_and_changing_ones_alias() -> None:
    first, second, gid = unique("first name "), unique("second name "), open_group()
    ann = someone(first)
    users.add_alias(ann, second)
    groups.join(ann, gid)
    assert code(partial(groups.join, ann, gid)) == ""
    assert [code(partial(groups.rename, ann, gid, name)) for name in (second, first, second)] == ["", "", OVER]
    bob = someone(unique("declining "))
    Member.objects.create(
        group=Group.objects.get(gid=gid), user_id=bob.user, alias="bob", status=Member.Status.INVITED
    )
    assert [code(partial(groups.drop, bob, gid, "bob")) for _ in range(5)] == ["", "", "", "", OVER]


def test_what_is_refused_for_another_reason_is_not_counted() -> None:
    gid = open_group()
    ann = someone(unique("patient "))
    Group.objects.filter(gid=gid).update(joining=Group.Joining.INVITED)
    assert [code(partial(groups.join, ann, gid)) for _ in range(9)] == ["not_invited"] * 9
    assert not LimitCount.objects.exists()
