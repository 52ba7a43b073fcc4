"""Groups and their members: invite, join, rename, leave, bar (tmtp.md ops 5 and 6). See `roles` for who may do what.

The protocol, the admin and the site call the same functions. Each sends a message to the group's members and returns
the number of its first message. Each raises `Refused` if it cannot be done, and then has changed nothing.
"""

from __future__ import annotations

from typing import Any

from ...conf import conf
from ...models import Alias, Group, Member, User
from ..errors import Refused
from ..people.actors import Sender, addressee, nodes_of, own_and, owns
from ..people.names import check, reserve
from ..people.pings import count_ping
from ..queue import limit_counts
from ..queue.batch import Batch, in_transaction
from ..queue.queue import Outgoing, enqueue
from ..storage import room
from . import roles

DAY = 86400.0
INVITED, JOINED, BARRED = Member.Status.INVITED, Member.Status.JOINED, Member.Status.BARRED


@in_transaction
def invite(sender: Sender, gid: str, alias: str, to: str, text: bytes = b"", *, batch: Batch | None = None) -> int:
    """Invite the user who has the alias `to` (op 5). Create the group, with the sender in it, if there is none."""
    room.check()
    invitee = addressee(sender, alias, to)
    count_ping(sender, invitee, to)
    group = Group.objects.select_for_update().filter(gid=gid).first()
    if group is None:
        group = create(sender, gid, alias, batch=batch)
    _make_invited(group, _joined_member(group, sender), invitee, to)
    members = {"gid": gid, "alias": alias, "to": to}
    nodes = own_and(sender, [invitee.pk])
    change = {"act": "invite", "gid": gid, "alias": to}
    number, _ = enqueue(
        [
            Outgoing("invite", sender.uid, sender.user, nodes, members, text),
            Outgoing("member", sender.uid, sender.user, joined_nodes(group), change),
        ],
        batch,
    )
    return number


@in_transaction
def create(sender: Sender, gid: str, alias: str, *, batch: Batch | None = None) -> Group:
    """Create a group with the sender as its owner and first member, under the alias `alias`."""
    check_groups(sender)
    check(gid, "gid")
    group, made = Group.objects.get_or_create(gid=gid, defaults=roles.default_rules())
    if not made:
        raise Refused("name_taken", field="gid", name=gid)
    reserve(gid, "gid", group=group)
    Member.objects.create(group=group, user_id=sender.user, alias=alias, status=JOINED, role=roles.OWNER)
    return group


@in_transaction
def join(sender: Sender, gid: str, newalias: str = "", *, batch: Batch | None = None) -> int:
    """Join a group as an invited or joined member (op 6, join), under `newalias` if it is given.

    A group that anyone may join needs no invitation. Without `newalias`, join it under the sender's oldest alias.
    """
    _count_change(sender, gid)
    group = _group(gid)
    member = Member.objects.filter(group=group, user=sender.user).first()
    if member is None and group.joining == Group.Joining.ANYONE:
        member = _newcomer(group, sender, newalias)
    if member is None or member.status == BARRED:
        raise Refused("not_invited", gid=gid)
    _check_size(group, member)
    if newalias and newalias != member.alias:
        _check_own(sender, newalias)
        member.alias = newalias
    member.status = JOINED
    member.save()
    roles.keep_owner(group)
    return _tell(sender, group, {"act": "join", "alias": member.alias}, batch=batch)


@in_transaction
def rename(sender: Sender, gid: str, newalias: str, *, batch: Batch | None = None) -> int:
    """Change the alias that a joined member has in a group to another of their aliases (op 6, alias)."""
    _count_change(sender, gid)
    group = _group(gid)
    member = _joined_member(group, sender)
    before = member.alias
    if newalias != before:
        _check_own(sender, newalias)
        member.alias = newalias
        member.save()
    return _tell(sender, group, {"act": "alias", "alias": before, "newalias": newalias}, batch=batch)


@in_transaction
def drop(sender: Sender, gid: str, alias: str, *, batch: Batch | None = None) -> int:
    """Drop a member from a group (op 6, drop). Members who drop themselves leave. Others are barred."""
    group = _group(gid)
    member = Member.objects.filter(group=group, alias=alias).first()
    if member is None:
        raise Refused("alias_not_member", alias=alias, gid=gid)
    if member.user_id == sender.user:
        if member.status == BARRED:
            raise Refused("not_member", gid=gid)
        return leave(sender, group, member, batch=batch)
    roles.check_bar(group, _joined_member(group, sender), member)
    return bar(sender, group, member, batch=batch)


@in_transaction
def leave(sender: Sender, group: Group, member: Member, *, batch: Batch | None = None) -> int:
    """Set a member back to invited, so that they may join again. To decline an invitation is the same, and counted."""
    if member.status != JOINED:
        _count_change(sender, group.gid)
    return _demote(sender, group, member, INVITED, batch)


@in_transaction
def bar(sender: Sender, group: Group, member: Member, *, batch: Batch | None = None) -> int:
    """Bar a member from a group until they are invited again."""
    return _demote(sender, group, member, BARRED, batch)


def joined_nodes(group: Group, *others: int) -> list[int]:
    """Return the nodes in use of a group's joined members, and of other users (their ids)."""
    users = Member.objects.filter(group=group, status=JOINED).values_list("user_id", flat=True)
    return nodes_of({*users, *others})


def _demote(sender: Sender, group: Group, member: Member, status: Member.Status, batch: Batch | None) -> int:
    member.status, member.role = status, roles.MEMBER
    member.save()
    roles.keep_owner(group)
    return _tell(sender, group, {"act": "drop", "alias": member.alias}, member.user_id, batch=batch)


def _tell(sender: Sender, group: Group, members: dict[str, Any], *others: int, batch: Batch | None) -> int:
    """Queue a `member` message for the joined members, the sender included, and for other users (their ids)."""
    nodes = joined_nodes(group, *others)
    (number,) = enqueue([Outgoing("member", sender.uid, sender.user, nodes, {"gid": group.gid, **members})], batch)
    return number


def _count_change(sender: Sender, gid: str) -> None:
    """Count a change that all members of the group are told of. Raise Refused if the user makes too many.

    The counts are in the database, in the transaction that is undone when this raises. So they are exact.
    """
    for name, who in (("group_changes_per_user", sender.uid), ("group_changes_per_member", f"{sender.uid} {gid}")):
        most = conf.limit(name)
        if most is not None and limit_counts.spend([(name, who, 1.0, most / DAY)])[0] > max(most, 1):
            raise Refused("too_many_group_changes")


def _group(gid: str) -> Group:
    group = Group.objects.select_for_update().filter(gid=gid).first()
    if group is None:
        raise Refused("group_not_found", gid=gid)
    return group


def _newcomer(group: Group, sender: Sender, newalias: str) -> Member:
    """Return a new membership, not saved, of a user without an invitation. Raise Refused if they have no alias."""
    check_groups(sender)
    own = Alias.objects.filter(user=sender.user, dropped=None).order_by("pk").values_list("name", flat=True).first()
    if own is None and not newalias:
        raise Refused("alias_needed", gid=group.gid)
    return Member(group=group, user_id=sender.user, alias=own or "", status=INVITED)


def _make_invited(group: Group, inviter: Member, invitee: User, alias: str) -> None:
    """Invite a user who is no member or is barred. Keep an invitation that exists. Raise Refused for a joined one."""
    member = Member.objects.filter(group=group, user=invitee).first()
    if member and member.status == JOINED:
        raise Refused("already_member", name=alias, gid=group.gid)
    roles.check_invite(group, inviter, member, alias)
    if member is None:
        Member.objects.create(group=group, user=invitee, alias=alias, status=INVITED)
    elif member.status == BARRED:
        member.alias, member.status = alias, INVITED
        member.save()


def _joined_member(group: Group, sender: Sender) -> Member:
    member = Member.objects.filter(group=group, user=sender.user, status=JOINED).first()
    if member is None:
        raise Refused("not_member", gid=group.gid)
    return member


def check_groups(sender: Sender) -> None:
    """Raise Refused if a user is in as many groups as one may be in."""
    most = conf.limit("groups_per_user")
    if most is not None and Member.objects.filter(user=sender.user, status=JOINED).count() >= most:
        raise Refused("too_many_groups", most=most)


def _check_size(group: Group, member: Member) -> None:
    most = conf.limit("members_per_group")
    if most is None or member.status == JOINED:
        return
    if Member.objects.filter(group=group, status=JOINED).count() >= most:
        raise Refused("group_full", gid=group.gid, most=most)


def _check_own(sender: Sender, alias: str) -> None:
    if not owns(sender, alias):
        raise Refused("alias_not_yours", field="newalias")
