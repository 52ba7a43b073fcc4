"""Moderation of groups in the admin: make a member join, leave or change their alias, or bar them.

The site acts in the name of the member, so the group gets the same messages as for op 6, and no third user is named in
them. Each function raises `Refused` if the member's status does not allow it, and then has changed nothing.
"""

from __future__ import annotations

from django.db import transaction

from ...models import Group, Member
from ..errors import Refused
from ..people.actors import Sender
from . import groups
from .groups import BARRED, INVITED, JOINED


@transaction.atomic
def join(member: Member) -> int:
    """Make an invited member join."""
    member = _locked(member, INVITED)
    return groups.join(as_user(member), member.group.gid)


@transaction.atomic
def leave(member: Member) -> int:
    """Set a joined member back to invited, so that they may join again."""
    member = _locked(member, JOINED)
    return groups.leave(as_user(member), member.group, member)


@transaction.atomic
def bar(member: Member) -> int:
    """Bar an invited or joined member until they are invited again."""
    member = _locked(member, INVITED, JOINED)
    return groups.bar(as_user(member), member.group, member)


@transaction.atomic
def rename(member: Member, newalias: str) -> int:
    """Change the alias that a joined member has in the group to another of their aliases."""
    member = _locked(member, JOINED)
    return groups.rename(as_user(member), member.group.gid, newalias)


def as_user(member: Member) -> Sender:
    """Return the member as a sender without a node."""
    return Sender(member.user.uid, member.user_id)


def _locked(member: Member, *statuses: Member.Status) -> Member:
    """Lock the group, as `groups` does, and return the member as stored now. Raise Refused for another status."""
    Group.objects.select_for_update().get(pk=member.group_id)
    now = Member.objects.select_related("group", "user").get(pk=member.pk)
    if now.status not in statuses:
        status = Member.Status(now.status).name.lower()
        raise Refused("wrong_member_status", alias=now.alias, status=status, gid=now.group.gid)
    return now


__all__ = ["BARRED", "INVITED", "JOINED", "as_user", "bar", "join", "leave", "rename"]
