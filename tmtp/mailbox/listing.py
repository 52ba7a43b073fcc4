"""The lists of threads: the inbox, with its filters, and the starred, sent, archived and deleted ones.

A list is ordered by the number of a message of each thread, newest first, and is shown in parts of AT_ONCE threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from ..models import Node
from . import index
from .models import Thread
from .summary import GROUP, PING

AT_ONCE = 30
MOST = 500  # threads in one page, however many the reader has loaded
WITH_GROUP = r'[\[ ]"(?![%+1-9B-Z]{32}")'  # in the JSON of participants: one that is no uid, so a gid


class List(NamedTuple):
    """A list: which threads it has, the field with the number that orders them, and whether it is `searched`.

    A list that is searched has no index in this order: its threads are found first, and then ordered.
    """

    threads: Q
    order: str = "latest"
    searched: bool = False


_INBOX = Q(archived=False)
DELETED = "deleted"
LISTS = {
    "": List(_INBOX),
    "unread": List(_INBOX & Q(unread__gt=0, muted=False), searched=True),
    "groups": List(_INBOX & (Q(key__startswith=GROUP) | Q(members__regex=WITH_GROUP)), searched=True),
    "pings": List(_INBOX & Q(key__startswith=PING), searched=True),
    "starred": List(Q(starred=True)),
    "sent": List(Q(), "sent"),
    "archived": List(Q(archived=True)),
    DELETED: List(Q(), DELETED),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive threads of a list, the numbers by which they are ordered, and whether more threads follow."""

    threads: Sequence[Thread]
    numbers: Sequence[int]
    more: bool

    @property
    def last(self) -> int | None:
        """The number of the last thread, or None if there are no threads."""
        return self.numbers[-1] if self.numbers else None


def part(node: Node, name: str, before: int | None = None, to: int | None = None) -> Part:
    """Return the first AT_ONCE threads of a list, or more: all down to the number `to`, at most MOST.

    With `before`, begin below this number. Threads whose message is gone are counted again.
    """
    threads, order = _threads(node, name), LISTS[name].order
    if before is not None:
        threads = threads.filter(**{f"{order}__lt": before})
    many = AT_ONCE
    if to is not None:
        many = max(AT_ONCE, threads.filter(**{f"{order}__gte": to})[:MOST].count())
    found = list(threads[: many + 1])
    gone = index.gone(node, [getattr(thread, order) for thread in found])
    if gone:
        index.forget(node, gone)
        found = list(threads[: many + 1])
    shown = found[:many]
    return Part(shown, [getattr(thread, order) for thread in shown], len(found) > many)


def _threads(node: Node, name: str) -> QuerySet[Thread]:
    which, order, searched = LISTS[name]
    threads = Thread.objects.filter(node=node, **{f"{order}__isnull": False}).order_by(f"-{order}")
    if not searched:
        return threads.filter(which)
    members = Thread.objects.alias(members=Cast("participants", TextField()))
    return threads.filter(pk__in=members.filter(which, node=node).values("pk"))
