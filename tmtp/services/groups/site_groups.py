"""Create groups, and add members to them, from a site's code."""

from __future__ import annotations

from django.db import transaction

from ...models import Group, Member, User
from ..errors import Refused
from ..people.actors import Sender
from ..people.names import aliases_of
from ..people.site import site_alias, site_user
from . import groups, roles


@transaction.atomic
def create_group(
    gid: str,
    owner: User | None = None,
    *,
    joining: Group.Joining = Group.Joining.INVITED,
    posting: Group.Right = Group.Right.MEMBERS,
    barring: Group.Right | None = None,
) -> Group:
    """Create a group with these rules. Its owner and first member is a user who has an alias, or the site.

    Without `barring`, only moderators bar members if anyone may join, and else TMTP["MEMBERS_MAY_BAR"] decides. Raise
    Refused if the gid is taken or cannot be one, if the owner has no alias or is in too many groups, or if members
    could bar each other in a group that anyone may join.
    """
    owner = owner or site_user()
    alias = site_alias(owner) if owner.is_site else aliases_of([owner])[owner.pk]
    if alias == owner.uid:
        raise Refused("alias_needed", gid=gid)
    group = groups.create(Sender(owner.uid, owner.pk), gid, alias)
    if barring is None:
        barring = Group.Right.MODERATORS if joining == Group.Joining.ANYONE else Group.Right(group.barring)
    roles.set_rules(group, joining=joining, posting=posting, barring=barring)
    return group


@transaction.atomic
def add_member(group: Group, user: User) -> None:
    """Make a user a joined member of a group, under their oldest alias; without an invitation, and even if barred.

    The members are told as if the user had joined. Do nothing for a joined member. Raise Refused if the user has no
    alias or is in too many groups, or if the group is full.
    """
    Group.objects.select_for_update().get(pk=group.pk)
    sender = Sender(user.uid, user.pk)
    member = Member.objects.filter(group=group, user=user).first()
    if member is None:
        groups.check_groups(sender)
        alias = aliases_of([user])[user.pk]
        if alias == user.uid:
            raise Refused("alias_needed", gid=group.gid)
        member = Member(group=group, user=user, alias=alias, status=Member.Status.INVITED)
    if member.status != Member.Status.JOINED:
        member.status = Member.Status.INVITED
        member.save()
        groups.join(sender, group.gid)
