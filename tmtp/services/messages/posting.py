"""Queue posts, many at once, and pings (tmtp.md ops 7, 8 and 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from django.db import transaction
from django.db.models import Max

from ...conf import conf
from ...models import Member, Node
from ...protocol.requests import TO_GROUP_WITHOUT_ME, TO_USER, Recipient
from ...protocol.values import format_msgid
from ..errors import Refused, Unreachable
from ..people.actors import Sender, addressee, own_and
from ..people.pings import count_ping
from ..queue.batch import Batch, in_transaction
from ..queue.queue import Outgoing, discard_on_commit, enqueue
from ..queue.receipts import Receipts
from ..storage import room
from ..storage.numbers import numbers
from ..storage.spool import Spooled
from .directory import Directory, look_up
from .fanout import Fanout, Share, pages_of
from .posts import Post

_JOINED, _INVITED = Member.Status.JOINED.value, Member.Status.INVITED.value


class Later(Enum):
    """The result of a post that must wait until an earlier post of its sender is finished."""

    LATER = auto()


LATER = Later.LATER


def post(posts: Sequence[Post], *, batch: Batch | None = None) -> list[int | Refused | Fanout | Later]:
    """Queue posts, and return a result for each, in order. Needs a transaction of the caller's.

    The result is the post's number (for a post that is sent again, that of the first time) or the error Refused. A
    refused post has no effect, and does not affect the others. For a post to many group members, the result is a
    Fanout, which the caller finishes step by step. LATER is the result of further posts of its sender: they are not
    queued, and the caller posts them again when the fan-out is finished.
    """
    receipts = Receipts((item.sender.node, item.digest) for item in posts)
    directory = look_up(posts)
    outgoing: list[Outgoing] = []
    results: list[int | Refused | Fanout | Later] = []
    unfinished: set[int | None] = set()  # sending nodes
    has_room = room.is_there()
    for item in posts:
        if item.sender.node in unfinished:
            results.append(LATER)
            continue
        known = receipts.number(item.sender.node, item.digest)
        if known:
            results.append(known)
            continue
        try:
            if not has_room:
                raise Refused("disk_full")
            if directory.is_large(item):
                results.append(_fan_out(item, directory))
                unfinished.add(item.sender.node)
                continue
            messages = _messages(item, directory)
        except Refused as refused:
            results.append(refused)
            continue
        outgoing += messages
        results.append(messages[0].number)
        receipts.add(item.sender.node, item.digest, messages[0].number)
    enqueue(outgoing, batch)
    receipts.save()
    finished = [item for item, result in zip(posts, results, strict=True) if isinstance(result, int | Refused)]
    _discard_unused(finished, outgoing)
    return results


@transaction.atomic
def post_whole(item: Post) -> int:
    """Queue one post to any number of recipients, in one transaction, and return its number. Raise Refused.

    The store does not use it, since it queues a post to many in several transactions.
    """
    (result,) = post([item])
    while isinstance(result, Fanout):
        result = result.step()
    if isinstance(result, Refused):
        raise result
    assert isinstance(result, int)  # not LATER: there is no earlier post to wait for
    return result


def _discard_unused(posts: Iterable[Post], outgoing: Iterable[Outgoing]) -> None:
    """Remove the spooled bodies of posts that were refused, sent before, or for no node."""
    names = [name for item in posts if type(item.body) is not bytes or item.notification for name in item.spool_names]
    if names:
        kept = {item.body.name for item in outgoing if item.nodes and isinstance(item.body, Spooled)}
        discard_on_commit(name for name in names if name not in kept)


def _messages(item: Post, directory: Directory) -> list[Outgoing]:
    """Return the messages of a post. Raise Refused if a recipient does not exist or cannot be written to."""
    sender, note = item.sender, item.notification
    to_self = note is None or not note.not_self
    members: dict[str, Any] = {"datahead": item.datahead, "datasum": item.datasum}
    if note:
        members["notify"] = len(item.recipients) + len(note.recipients) + to_self
    nodes = _nodes(item.recipients, sender, directory, to_self)
    number = numbers.next()
    messages = [Outgoing("delivery", sender.uid, sender.user, nodes, members, item.body, number=number)]
    if note:
        members = {"postid": format_msgid(number), "datahead": note.notehead, "datasum": note.notesum}
        nodes = _nodes([*item.recipients, *note.recipients], sender, directory, True)
        messages.append(Outgoing("notify", sender.uid, sender.user, nodes, members, note.body, number=numbers.next()))
    return messages


def _fan_out(item: Post, directory: Directory) -> Fanout:
    """Check a post to many, and return it as a Fanout. Raise Refused as _messages does."""
    sender = item.sender
    groups = {gid: directory.groups[gid][0] for gid in item.gids if gid in directory.groups}
    places = Member.objects.filter(user=sender.user, group__in=groups.values()).values_list("group_id", "status")
    status = dict(places)
    joined: dict[str, dict[int, list[int]]] = {
        gid: {sender.user: []} if status.get(group) == _JOINED else {} for gid, group in groups.items()
    }
    invited = {gid: {sender.user} if status.get(group) == _INVITED else set() for gid, group in groups.items()}
    messages = _messages(item, replace(directory, joined=joined, invited=invited))
    shares = [
        Share(message, groups[to.id], sender.user if to.type == TO_GROUP_WITHOUT_ME else None)
        for message, recipients in zip(messages, (item.recipients, item.all_recipients), strict=False)
        for to in recipients
        if to.type != TO_USER
    ]
    newest = Node.objects.aggregate(newest=Max("pk"))["newest"]
    return Fanout(messages, pages_of(messages), tuple(shares), sender.node, item.digest, newest)


def _nodes(recipients: Sequence[Recipient], sender: Sender, directory: Directory, to_self: bool) -> list[int]:
    """Return the nodes that a message is for: the recipients', and with `to_self` the sender's other nodes.

    The sending node is included only if the sender is a recipient by name or as a group member (tmtp.md section 3).
    """
    nodes: dict[int, None] = {}
    for to in recipients:
        if to.type == TO_USER:
            its = directory.nodes.get(to.id)
            if its is None:
                raise Refused("user_not_found", uid=to.id)
            if directory.blocks and (directory.ids[to.id], sender.user) in directory.blocks:
                raise Unreachable("unreachable", name=to.id)
            if directory.full and directory.is_full(to.id):
                raise Unreachable("unreachable", name=to.id)
            for node in its:
                nodes[node] = None
        else:
            _add_group(nodes, to, sender, directory)
    if to_self:
        for node in directory.nodes.get(sender.uid, ()):
            if node != sender.node:
                nodes[node] = None
    return list(nodes)


def _add_group(nodes: dict[int, None], to: Recipient, sender: Sender, directory: Directory) -> None:
    joined = directory.joined.get(to.id)
    if joined is None:
        raise Refused("group_not_found", gid=to.id)
    invited = conf.INVITED_MAY_POST and sender.user in directory.invited[to.id]
    if sender.node is not None and sender.user not in joined and not invited:
        raise Refused("not_member", gid=to.id)
    if to.id in directory.announcing and sender.node is not None and sender.user not in directory.announcing[to.id]:
        raise Refused("only_moderators_post", gid=to.id)
    for user, its in joined.items():
        if user != sender.user or to.type != TO_GROUP_WITHOUT_ME:
            nodes.update(dict.fromkeys(its))


@in_transaction
def ping(sender: Sender, alias: str, to: str, text: bytes, *, batch: Batch | None = None) -> int:
    """Send a short text to the user who has an alias (op 9), and return the message's number.

    Raise Refused as `addressee` and `count_ping` do, or if the disk is full.
    """
    room.check()
    recipient = addressee(sender, alias, to)
    count_ping(sender, recipient, to)
    nodes = own_and(sender, [recipient.pk])
    (number,) = enqueue([Outgoing("ping", sender.uid, sender.user, nodes, {"alias": alias, "to": to}, text)], batch)
    return number
