"""The owner and the moderators of a group, the group's rules, and what each role may do.

The founder is the owner. When the owner leaves, is barred or is deleted, the member who moderates longest becomes the
owner, or, without moderators, the member who is there longest. Clients do not see roles and rules: the protocol has no
place for them. Their requests are refused if the rules do not allow them.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F

from ...conf import conf
from ...models import Group, Member, User
from ..errors import Refused

MEMBER, MODERATOR, OWNER = Member.Role.MEMBER, Member.Role.MODERATOR, Member.Role.OWNER
_JOINED = Member.Status.JOINED


def may_invite(group: Group, member: Member) -> bool:
    """Return whether a joined member may invite people into a group."""
    return member.moderates or group.joining != Group.Joining.CLOSED


def may_bar(group: Group, member: Member, other: Member) -> bool:
    """Return whether a joined member may bar another one. Where only moderators may, they bar those of lower roles."""
    return group.barring == Group.Right.MEMBERS or member.role > max(other.role, MEMBER)


def may_post(group: Group, member: Member) -> bool:
    """Return whether a joined member may post to a group."""
    return member.moderates or group.posting != Group.Right.MODERATORS


def check_invite(group: Group, inviter: Member, invitee: Member | None, alias: str) -> None:
    """Raise Refused if a joined member may not invite someone, who may be barred, under an alias."""
    if not may_invite(group, inviter):
        raise Refused("only_moderators_invite", gid=group.gid)
    if invitee and invitee.status == Member.Status.BARRED and not may_bar(group, inviter, invitee):
        raise Refused("invitee_barred", name=alias, gid=group.gid)


def check_bar(group: Group, member: Member, other: Member) -> None:
    """Raise Refused if a joined member may not bar another one."""
    if may_bar(group, member, other):
        return
    if not member.moderates:
        raise Refused("only_moderators_bar", gid=group.gid)
    raise Refused("moderator_not_barred", alias=other.alias, gid=group.gid)


def default_rules() -> dict[str, int]:
    """Return the rules of a new group, as tmtp.md has them, but with TMTP["MEMBERS_MAY_BAR"]."""
    barring = Group.Right.MEMBERS if conf.MEMBERS_MAY_BAR else Group.Right.MODERATORS
    return {"joining": Group.Joining.INVITED, "posting": Group.Right.MEMBERS, "barring": barring}


@transaction.atomic
def set_rules(group: Group, *, joining: int, posting: int, barring: int, by: Member | None = None) -> None:
    """Set the rules of a group: who may join, post and bar. `by` is the member who does it; without, the site does.

    Raise Refused if that member is not the owner, or if members could bar each other in a group that anyone may join.
    """
    locked = Group.objects.select_for_update().get(pk=group.pk)
    _check_owner(locked, by)
    if joining == Group.Joining.ANYONE and barring == Group.Right.MEMBERS:
        raise Refused("open_group_barring", gid=group.gid)
    for each in (locked, group):
        each.joining, each.posting, each.barring = joining, posting, barring
    locked.save(update_fields=["joining", "posting", "barring"])


@transaction.atomic
def set_role(group: Group, user: User, role: int, *, by: Member | None = None) -> None:
    """Give a joined member of a group another role. `by` is the member who does it; without, the site does.

    A new owner takes the place of the old one, who becomes a moderator. Raise Refused if `by` is not the owner, if the
    user has not joined, or if the group would have no owner.
    """
    group = Group.objects.select_for_update().get(pk=group.pk)
    _check_owner(group, by)
    member = Member.objects.filter(group=group, user=user).first()
    if member is None:
        raise Refused("alias_not_member", alias=user.uid, gid=group.gid)
    if member.status != _JOINED:
        status = Member.Status(member.status).name.lower()
        raise Refused("wrong_member_status", alias=member.alias, status=status, gid=group.gid)
    if member.role == OWNER and role != OWNER:
        raise Refused("owner_stays", gid=group.gid)
    if role == OWNER:
        Member.objects.filter(group=group, role=OWNER).update(role=MODERATOR)
    Member.objects.filter(pk=member.pk).update(role=role)


def heir(group: Group) -> Member | None:
    """Return the joined member who would be the next owner, or None. A person comes before the site.

    Disabled users come last: they could not do what an owner does.
    """
    joined = Member.objects.filter(group=group, status=_JOINED).exclude(role=OWNER)
    enabled_first = F("user__disabled").asc(nulls_first=True)
    return joined.order_by(enabled_first, "-role", "user__is_site", "pk").first()


def keep_owner(group: Group) -> None:
    """Make a joined member the owner of a group that has none."""
    if not Member.objects.filter(group=group, role=OWNER).exists():
        next_owner = heir(group)
        if next_owner:
            Member.objects.filter(pk=next_owner.pk).update(role=OWNER)


def owner_deleted(instance: Member, **_: Any) -> None:
    """Receive the signal that a membership was deleted, with its user or its group."""
    if instance.role == OWNER and Group.objects.filter(pk=instance.group_id).exists():
        keep_owner(instance.group)


def _check_owner(group: Group, by: Member | None) -> None:
    if by is not None and not Member.objects.filter(pk=by.pk, group=group, role=OWNER).exists():
        raise Refused("only_owner", gid=group.gid)
