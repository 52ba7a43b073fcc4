"""Find rows and files that are left over, and nodes that are full, a few at a time, while the service runs.

On PostgreSQL, transactions at the same time may leave a message that waits for nobody (two acknowledge its last two
entries), an entry without its message (a queue is copied while it is acknowledged), or entries of a dropped node (a
post arrives while it is dropped). A crash may leave a file in the spool, and entries of a post to many whose message
was not written. Each look reads the next few rows of each table, in the order of an index, and starts again at the
end.

No message that still waits for someone is removed. Only rows older than a minute are looked at. A message is removed
if two looks a minute apart found no entry for it, and the statement that deletes it checks once more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from django.db import Error, connection
from django.db.models import Exists, OuterRef
from django.utils import timezone

from ...conf import conf
from ...models import Message, Node, QueueEntry
from ..queue.queue import discard_on_commit
from ..queue.quota import with_count, with_octets
from ..storage import sql
from ..storage.clock import clock
from ..storage.outages import Outage
from . import fanout
from .spool_sweeping import SpoolSweeper

log = logging.getLogger("tmtp")
_sweeping = Outage("nothing was swept: %s", "leftovers are swept again")
ENTRIES, MESSAGES, FULL = 5000, 2000, 20  # how many one look reads
WAITING_MAX = 1_000_000  # entries of a full node that are counted
SETTLED = 60_000_000_000  # nanoseconds; younger messages may still be changing
Entry = tuple[int, int, int]  # node id, rank, number
BEGINNING: Entry = (0, -1, 0)


@dataclass(slots=True)
class Found:
    """The entries and numbers of messages to remove, the nodes that are full, and those that are not any more."""

    entries: list[Entry] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    full: list[int] = field(default_factory=list)
    no_longer_full: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.entries or self.messages or self.full or self.no_longer_full)


class Sweeper:
    """Looks for leftovers, and remembers its place in each table."""

    def __init__(self) -> None:
        self._entry = BEGINNING
        self._message = 0
        self._spool = SpoolSweeper()
        self._suspects: dict[int, int] = {}  # messages without an entry, and when that was seen
        self._counting = 0, 0, 0  # a node, and how many of its entries and of their octets have been counted
        self._full = 0  # the last of the full nodes that was looked at

    def look(self) -> Found:
        """Look at the next few rows, and remove leftover files. Run it in a thread: it waits for disk and database."""
        try:
            self._spool.look()
            found = Found(no_longer_full=self._no_longer_full())
            found.entries, found.full = self._entries()
            found.messages = self._messages()
            _sweeping.over()
            return found
        except (Error, OSError) as error:
            _sweeping.met(error)
            return Found()
        finally:
            connection.close()

    def _entries(self) -> tuple[list[Entry], list[int]]:
        """Return those of the next few entries that have no message or no node in use, and the nodes that are full."""
        entries = sql.entries_after(self._entry, ENTRIES)
        before, abandoned = _settled(), clock.now() - 2 * fanout.PATIENCE
        nodes = Node.objects.filter(pk__in={entry[0] for entry in entries}, dropped=None)
        in_use = dict(nodes.values_list("pk", "full_since"))
        numbers = {entry[2] for entry in entries}
        there = dict(Message.objects.filter(pk__in=numbers).values_list("pk", "size"))
        sizes = [(entry[0], there.get(entry[2], 0)) for entry in entries]
        full = [node for node in self._count(sizes) if not in_use.get(node, True)]
        self._entry = entries[-1] if len(entries) == ENTRIES else BEGINNING
        orphans = [
            (node, rank, number)
            for node, rank, number in entries
            if (node not in in_use and number < before) or (number not in there and number < abandoned)
        ]
        return orphans, full

    def _messages(self) -> list[int]:
        """Look at the next few messages. Return those that had no entry a minute ago."""
        old = Message.objects.filter(pk__gt=self._message, pk__lt=_settled()).order_by("pk")
        numbers = list(old.values_list("pk", flat=True)[:MESSAGES])
        self._message = numbers[-1] if len(numbers) == MESSAGES else 0
        # Two queries, so that the database can see how few messages the second one is about.
        waited_for = Exists(QueueEntry.objects.filter(message_id=OuterRef("pk")))
        orphans = list(Message.objects.filter(~waited_for, pk__in=numbers).values_list("pk", flat=True))
        now = time.monotonic_ns()
        due = [number for number, seen in self._suspects.items() if seen < now - SETTLED]
        for number in due:
            del self._suspects[number]
        for number in orphans:
            self._suspects.setdefault(number, now)
        return due

    # full nodes

    def _count(self, entries: Sequence[tuple[int, int]]) -> set[int]:
        """Go on counting what waits for each node, and return the nodes for which more waits than may.

        `entries` are nodes and octets of the next few entries, in order: the entries of a node follow each other.
        """
        most, most_octets = _limits()
        full: set[int] = set()
        node, count, octets = self._counting if self._entry != BEGINNING else (0, 0, 0)
        for other, size in entries:
            node, count, octets = (node, count + 1, octets + size) if other == node else (other, 1, size)
            if count > most or octets > most_octets:
                full.add(node)
        self._counting = node, count, octets
        return full

    def _no_longer_full(self) -> list[int]:
        """Return those of the next few full nodes that are below the limits again."""
        most, most_octets = _limits()
        nodes = Node.objects.filter(full_since__isnull=False, pk__gt=self._full).order_by("pk")
        looked_at = int(min(most, WAITING_MAX))
        counted: list[Any] = list(with_octets(with_count(nodes, looked_at), looked_at)[:FULL])
        self._full = counted[-1].pk if len(counted) == FULL else 0
        return [node.pk for node in counted if node.waiting <= most and (node.octets or 0) <= most_octets]


def apply(found: Found) -> None:
    """Remove the leftovers that a look found, except for messages that have entries again, and mark full nodes."""
    sql.delete_entries(found.entries)
    if found.messages:
        discard_on_commit(sql.delete_finished(found.messages))
    Node.objects.filter(pk__in=found.no_longer_full).update(full_since=None)
    for node in found.full:
        if Node.objects.filter(pk=node, full_since=None).update(full_since=timezone.now()):
            log.warning("more messages or octets wait for node %s than TMTP['LIMITS'] allows", node)


def _limits() -> tuple[float, float]:
    """Return how many messages and how many octets may wait for a node."""
    messages, octets = conf.limit("waiting_per_node"), conf.limit("waiting_octets_per_node")
    return inf if messages is None else messages, inf if octets is None else octets


def _settled() -> int:
    return clock.now() - SETTLED
