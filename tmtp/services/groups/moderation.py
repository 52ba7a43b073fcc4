"""What the site does about a member of a group: join, leave, bar, rename. The admin's verbs.

The site acts as the member concerned, so no third person is named in what the group is told; what it is told is the
same as for op 6. All raise `Refused` when the member's status does not allow it, and then nothing has changed.
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
    """An invited member is a joined one."""
    member = _locked(member, INVITED)
    return groups.join(as_user(member), member.group.gid)


@transaction.atomic
def leave(member: Member) -> int:
    """A joined member goes back to invited, and may join again."""
    member = _locked(member, JOINED)
    return groups.leave(as_user(member), member.group, member)


@transaction.atomic
def bar(member: Member) -> int:
    """An invited or joined member is out until invited again."""
    member = _locked(member, INVITED, JOINED)
    return groups.bar(as_user(member), member.group, member)


@transaction.atomic
def rename(member: Member, newalias: str) -> int:
    """A joined member is known by another of their aliases."""
    member = _locked(member, JOINED)
    return groups.rename(as_user(member), member.group.gid, newalias)


def as_user(member: Member) -> Sender:
    """The member as one who sends, from no node."""
    return Sender(member.user.uid, member.user_id)


def _locked(member: Member, *statuses: Member.Status) -> Member:
    """The member as they are now; the group is locked first, as the protocol's verbs do."""
    Group.objects.select_for_update().get(pk=member.group_id)
    now = Member.objects.select_related("group", "user").get(pk=member.pk)
    if now.status not in statuses:
        status = Member.Status(now.status).name.lower()
        raise Refused("wrong_member_status", alias=now.alias, status=status, gid=now.group.gid)
    return now


__all__ = ["BARRED", "INVITED", "JOINED", "as_user", "bar", "join", "leave", "rename"]
