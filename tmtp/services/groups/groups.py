"""Groups and who is in them (tmtp.md ops 5 and 6). The admin and the site call the same verbs as the protocol.

Each tells the group's members; all raise `Refused` when they cannot be done, and then have changed nothing. They give
the number of the first message made.
"""

from __future__ import annotations

from typing import Any

from ...conf import conf
from ...models import Group, Member, User
from ..errors import Refused
from ..people.actors import Sender, addressee, nodes_of, own_and, owns
from ..people.names import check, reserve
from ..queue.batch import Batch, in_transaction
from ..queue.queue import Outgoing, enqueue

INVITED, JOINED, BARRED = Member.Status.INVITED, Member.Status.JOINED, Member.Status.BARRED


@in_transaction
def invite(sender: Sender, gid: str, alias: str, to: str, text: bytes = b"", *, batch: Batch | None = None) -> int:
    """Op 5: invite the user behind the alias `to`. A group that is not there is made, with the sender in it."""
    invitee = addressee(sender, alias, to)
    group = Group.objects.select_for_update().filter(gid=gid).first()
    if group is None:
        group = create(sender, gid, alias, batch=batch)
    else:
        _joined(group, sender)
    _make_invited(group, invitee, to)
    members = {"gid": gid, "alias": alias, "to": to}
    nodes = own_and(sender, [invitee.pk])
    told = {"act": "invite", "gid": gid, "alias": to}
    number, _ = enqueue(
        [
            Outgoing("invite", sender.uid, sender.user, nodes, members, text),
            Outgoing("member", sender.uid, sender.user, joined_nodes(group), told),
        ],
        batch,
    )
    return number


@in_transaction
def create(sender: Sender, gid: str, alias: str, *, batch: Batch | None = None) -> Group:
    """A new group with the sender as its first member, known there as `alias`."""
    most = conf.limit("groups_per_user")
    if most is not None and Member.objects.filter(user=sender.user, status=JOINED).count() >= most:
        raise Refused("too_many_groups", most=most)
    check(gid, "gid")
    group, made = Group.objects.get_or_create(gid=gid)
    if not made:
        raise Refused("name_taken", field="gid", name=gid)
    reserve(gid, "gid", group=group)
    Member.objects.create(group=group, user_id=sender.user, alias=alias, status=JOINED)
    return group


@in_transaction
def join(sender: Sender, gid: str, newalias: str = "", *, batch: Batch | None = None) -> int:
    """Op 6, join: an invited user joins, or a joined one again, as `newalias` when it is given."""
    group = _group(gid)
    member = Member.objects.filter(group=group, user=sender.user, status__in=[INVITED, JOINED]).first()
    if member is None:
        raise Refused("not_invited", gid=gid)
    _check_room(group, member)
    if newalias and newalias != member.alias:
        _check_own(sender, newalias)
        member.alias = newalias
    member.status = JOINED
    member.save()
    return _tell(sender, group, {"act": "join", "alias": member.alias}, batch=batch)


@in_transaction
def rename(sender: Sender, gid: str, newalias: str, *, batch: Batch | None = None) -> int:
    """Op 6, alias: a joined member is known by another of their aliases from now on."""
    group = _group(gid)
    member = _joined(group, sender)
    before = member.alias
    if newalias != before:
        _check_own(sender, newalias)
        member.alias = newalias
        member.save()
    return _tell(sender, group, {"act": "alias", "alias": before, "newalias": newalias}, batch=batch)


@in_transaction
def drop(sender: Sender, gid: str, alias: str, *, batch: Batch | None = None) -> int:
    """Op 6, drop: a member leaves, and may come back; one dropped by another member is barred."""
    group = _group(gid)
    member = Member.objects.filter(group=group, alias=alias).first()
    if member is None:
        raise Refused("alias_not_member", alias=alias, gid=gid)
    if member.user_id == sender.user:
        if member.status == BARRED:
            raise Refused("not_member", gid=gid)
        return leave(sender, group, member, batch=batch)
    _joined(group, sender)
    return bar(sender, group, member, batch=batch)


@in_transaction
def leave(sender: Sender, group: Group, member: Member, *, batch: Batch | None = None) -> int:
    """A member goes back to invited."""
    return _demote(sender, group, member, INVITED, batch)


@in_transaction
def bar(sender: Sender, group: Group, member: Member, *, batch: Batch | None = None) -> int:
    """A member is out until invited again."""
    return _demote(sender, group, member, BARRED, batch)


def joined_nodes(group: Group, *others: int) -> list[int]:
    """The nodes of a group's joined members, and of other users."""
    users = Member.objects.filter(group=group, status=JOINED).values_list("user_id", flat=True)
    return nodes_of({*users, *others})


def _demote(sender: Sender, group: Group, member: Member, status: Member.Status, batch: Batch | None) -> int:
    member.status = status
    member.save()
    return _tell(sender, group, {"act": "drop", "alias": member.alias}, member.user_id, batch=batch)


def _tell(sender: Sender, group: Group, members: dict[str, Any], *others: int, batch: Batch | None) -> int:
    """Queue a `member` message for the joined members, the sender too, and for other users."""
    nodes = joined_nodes(group, *others)
    (number,) = enqueue([Outgoing("member", sender.uid, sender.user, nodes, {"gid": group.gid, **members})], batch)
    return number


def _group(gid: str) -> Group:
    group = Group.objects.select_for_update().filter(gid=gid).first()
    if group is None:
        raise Refused("group_not_found", gid=gid)
    return group


def _make_invited(group: Group, invitee: User, alias: str) -> None:
    """Invited from nothing or barred; an invitation that stands is kept as it is."""
    member = Member.objects.filter(group=group, user=invitee).first()
    if member and member.status == JOINED:
        raise Refused("already_member", name=alias, gid=group.gid)
    if member is None:
        Member.objects.create(group=group, user=invitee, alias=alias, status=INVITED)
    elif member.status == BARRED:
        member.alias, member.status = alias, INVITED
        member.save()


def _joined(group: Group, sender: Sender) -> Member:
    member = Member.objects.filter(group=group, user=sender.user, status=JOINED).first()
    if member is None:
        raise Refused("not_member", gid=group.gid)
    return member


def _check_room(group: Group, member: Member) -> None:
    most = conf.limit("members_per_group")
    if most is None or member.status == JOINED:
        return
    if Member.objects.filter(group=group, status=JOINED).count() >= most:
        raise Refused("group_full", gid=group.gid, most=most)


def _check_own(sender: Sender, alias: str) -> None:
    if not owns(sender, alias):
        raise Refused("alias_not_yours", field="newalias")
