"""How far a member's own messages have come, and their recall.

There are no reports of members' messages: what is known is for whom a message still waits. A device that it does not
wait for any more has acknowledged it; a mailbox has fetched it when its page has listed it. The states are those of
the reports of the site's messages (`tmtp.services.queue.reports.State`), except that nobody is told who has read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from ..models import Member, Message, Node, QueueEntry, User
from ..services.messages.recall import take_back
from ..times import number_at
from .conversation import Item
from .marks import DELIVERED, QUEUED, RECALLED, SENT, Delivery
from .models import Entry, Recall, Thread
from .sending import Readers
from .summary import PING

PEOPLE_MAX = 200  # recipients who are looked at for a page
KINDS = ("delivery", "ping")
FORGOTTEN_AT_ONCE = 100


class _Known(NamedTuple):
    """What is known of messages, as pairs of a message's number and a node's id."""

    waiting: set[tuple[int, int]]
    fetched: set[tuple[int, int]]
    recalled: set[tuple[int, int]]


def add_deliveries(mailbox: Node, thread: Thread, readers: Readers | None, items: Sequence[Item]) -> None:
    """Set `delivery` of the member's own messages among the items of a thread, unless they are for very many."""
    own = [item for item in items if item.own and item.kind in KINDS]
    people = _people(mailbox, thread, readers) if own else {}
    if not people or len(people) > PEOPLE_MAX:
        return
    nodes: dict[int, list[Node]] = {user: [] for user in people}
    for node in Node.objects.filter(user__in=people, dropped=None):
        nodes[node.user_id].append(node)
    known = _known([item.entry.number for item in own], [node.pk for its in nodes.values() for node in its])
    to_group = bool(readers and readers.groups)
    for item in own:
        states = [(people[user], _state(item.entry.number, its, known)) for user, its in nodes.items()]
        unfetched = known.waiting - known.fetched
        waits = any(number == item.entry.number for number, _node in unfetched)
        shown = [(name, state) for name, state in states if state and _is_shown(state, to_group)]
        if shown or to_group:
            item.delivery = Delivery(shown, waits, to_group)


def _is_shown(state: str, to_group: bool) -> bool:
    # A member who is in a group now need not have been in it when the message was sent.
    return not to_group or state in (QUEUED, SENT, RECALLED)


def _people(mailbox: Node, thread: Thread, readers: Readers | None) -> dict[int, str]:
    """Return the names of those whom an own message in a thread is for, by the users' ids; at most PEOPLE_MAX + 1."""
    names = {person.uid: person.alias for person in readers.users} if readers else {}
    if thread.key.startswith(PING):
        names[thread.key.removeprefix(PING)] = thread.people[-1] if thread.people else ""
    users = User.objects.filter(uid__in=names).exclude(pk=mailbox.user_id)
    found = {pk: names[uid] or uid for pk, uid in users.values_list("pk", "uid")[: PEOPLE_MAX + 1]}
    gids = [group.uid for group in readers.groups] if readers else []
    members = Member.objects.filter(group__gid__in=gids, status=Member.Status.JOINED).exclude(user=mailbox.user_id)
    found |= dict(members.order_by("alias").values_list("user_id", "alias")[: PEOPLE_MAX + 1]) if gids else {}
    return found


def _known(numbers: Sequence[int], nodes: Sequence[int]) -> _Known:
    of_messages: dict[str, Any] = {"node__in": nodes}
    waiting = QueueEntry.objects.filter(message_id__in=numbers, **of_messages).values_list("message_id", "node_id")
    fetched = Entry.objects.filter(number__in=numbers, **of_messages).values_list("number", "node_id")
    recalled = Recall.objects.filter(number__in=numbers, **of_messages).values_list("number", "node_id")
    return _Known(set(waiting), set(fetched), set(recalled))


def _state(number: int, nodes: Sequence[Node], known: _Known) -> str | None:
    """Return the state of a message for a user with these nodes, or None if it cannot be told."""
    got: list[Node] = []
    left: list[Node] = []
    recalled = False
    for node in nodes:
        here = number, node.pk
        if here in known.recalled:
            recalled = True
        elif here in known.waiting and here not in known.fetched:
            left.append(node)
        elif here in known.fetched or (number_at(node.created) <= number and node.kind != Node.Kind.HOLDING):
            got.append(node)
    if not got:
        return QUEUED if left else RECALLED if recalled else None
    return SENT if any(node.kind == Node.Kind.DEVICE for node in left) else DELIVERED


# recall


@transaction.atomic
def recall(mailbox: Node, number: int) -> int:
    """Recall an own message from the devices and mailboxes of others that have not fetched it, and return how many.

    If it is being sent to a device at this moment, it may still reach the device.
    """
    waiting = unfetched(mailbox, number)
    nodes = list(waiting.values_list("node_id", flat=True))
    take_back(number, nodes)
    Recall.objects.bulk_create([Recall(number=number, node_id=node) for node in nodes], ignore_conflicts=True)
    return len(nodes)


def unfetched(mailbox: Node, number: int) -> QuerySet[QueueEntry]:
    """Return the entries of a message in the queues of others, without mailboxes whose page has listed it."""
    listed = Entry.objects.filter(node=OuterRef("node_id"), number=OuterRef("message_id"))
    entries = QueueEntry.objects.filter(~Exists(listed), message_id=number)
    return entries.exclude(node__user=mailbox.user_id)


def forget_recalls(**_: Any) -> None:
    """Delete some notes of recalls of messages that are gone."""
    there = Message.objects.filter(pk=OuterRef("number"))
    gone = list(Recall.objects.filter(~Exists(there)).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    if gone:
        Recall.objects.filter(pk__in=gone).delete()
