"""Take over groups from a Go server. Their roles are made up: that server has none (docs/decisions/0023-groups.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from ...conf import conf
from ...models import Group, Member, User
from ..groups.roles import keep_owner
from ..people.names import keep


@dataclass(frozen=True, slots=True)
class OldMember:
    """A member of a group of another server. `status` is one of Member.Status."""

    uid: str
    alias: str
    status: int


@transaction.atomic
def take_group(gid: str, members: Sequence[OldMember]) -> tuple[int, list[str]]:
    """Add a group with those of its members who are missing here. The first who has joined is the owner of a new one.

    Members that are here keep the status that they have by now. Return how many were added, and the uids that nobody
    has. Raise Refused if the gid is an alias here.
    """
    barring = Group.Right.MEMBERS if conf.MEMBERS_MAY_BAR else Group.Right.MODERATORS
    group, _ = Group.objects.get_or_create(gid=gid, defaults={"barring": barring})
    keep(gid, group=group)
    users = dict(User.objects.filter(uid__in=[member.uid for member in members]).values_list("uid", "pk"))
    there = set(Member.objects.filter(group=group).values_list("user_id", flat=True))
    new = [
        Member(group=group, user_id=users[member.uid], alias=member.alias, status=member.status)
        for member in members
        if member.uid in users and users[member.uid] not in there
    ]
    Member.objects.bulk_create(new)
    keep_owner(group)
    return len(new), [member.uid for member in members if member.uid not in users]
