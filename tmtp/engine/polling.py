"""Read what other processes have changed: new messages for connected nodes, and nodes to disconnect.

A look costs the same however many nodes are connected. It reads, with an index, the nodes that others have marked. If
a hand-over was lost, its messages are found by a sweep over the queues of all connected nodes. Every TMTP["POLL"]
seconds, a look includes the next slice of the sweep.

Messages that others handed over are read before the store's next batch, each one once, and need not wait for a look.

On SQLite, a look reads no marks and no new sweep begins unless another connection has written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import transaction

from ..models import Node
from ..services.people.privacy import Privacy, privacy_of
from ..services.queue.batch import Parcel
from ..services.storage import sql
from ..services.storage.dialect import Seen, others_wrote

T = TypeVar("T")
LOOK_LIMIT = 50_000  # entries of a slice: with a full window and all that their server holds in memory, it has fewer
SLICE = 250  # nodes that are swept at once
AT_ONCE = 500  # messages that were handed over and are read at once


@dataclass(slots=True)
class Held:
    """A message of this server that waits until earlier ones are read, so that each node gets all in order.

    `deliver` sends it to the nodes that have not got it since.
    """

    parcel: Parcel
    deliver: Callable[[], None]


@dataclass(slots=True)
class Question:
    """What a look reads.

    `swept` are the nodes of a slice of the sweep. `caught_up` are those of them that know all messages in their
    queues, as far as this server knows.
    """

    swept: Sequence[int] = ()
    caught_up: Sequence[int] = ()
    marks: bool = True  # whether to look for marked nodes
    whoever_wrote: bool = False  # whether to do so even if no other connection has written


@dataclass(slots=True)
class News:
    """The result of a look.

    `waiting` has the numbers of waiting messages by node. `gone` are nodes that were dropped or are connected to
    another server, `start_over` are nodes whose queue must be read again, and `contested` are nodes that log in at
    another server. `privacy` is that of users for whom it may have changed, by uid.
    """

    waiting: dict[int, list[int]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    start_over: list[int] = field(default_factory=list)
    contested: list[int] = field(default_factory=list)
    privacy: dict[str, Privacy] = field(default_factory=dict)
    complete: bool = True  # False if some nodes were left out, because too much waits
    wrote: bool = False  # whether another connection may have written since the last look


class HandedOver:
    """Messages that others handed over and that are still to be read, and messages of this server among them."""

    def __init__(self) -> None:
        self._due: deque[int | Held] = deque()
        self._held: list[Held] = []  # those among what is being read
        self._reading: list[int] = []  # numbers
        self.is_reading = False

    def __bool__(self) -> bool:
        """Return whether some are to be read, or are being read."""
        return bool(self._due or self.is_reading)

    def add(self, items: Iterable[int | Held]) -> None:
        """Add numbers of messages, or messages of this server that come after all that is there."""
        self._due.extend(items)

    def begin(self) -> list[int]:
        """Return the numbers to read next. They are being read until `end` or `repeat`."""
        numbers: list[int] = []
        while self._due and (len(numbers) < AT_ONCE or isinstance(self._due[0], Held)):
            item = self._due.popleft()
            if isinstance(item, Held):
                self._held.append(item)
            else:
                numbers.append(item)
        self._reading, self.is_reading = numbers, True
        return numbers

    def end(self, found: Iterable[Held]) -> list[Held]:
        """Return, in the order of their numbers, what was read and the messages of this server among it."""
        held, self._held = self._held, []
        self._reading, self.is_reading = [], False
        return sorted([*held, *found], key=lambda one: one.parcel.number)

    def repeat(self) -> None:
        """Read later what could not be read."""
        self._due.extendleft(reversed([*self._reading, *self._held]))
        self.end(())

    def clear(self) -> None:
        """Forget what is to be read: a node that comes now has its queue read."""
        self._due.clear()

    def numbers(self) -> set[int]:
        """Return the numbers of all that is not sent yet."""
        items = [*self._due, *self._held, *self._reading]
        return {item.parcel.number if isinstance(item, Held) else item for item in items}


class Due:
    """What the next looks have to read. Each takes a bounded part of it."""

    def __init__(self) -> None:
        self.marks = False
        self.slice = False
        self.again = True  # whether the sweep must begin again after this round
        self._round: deque[int] = deque()  # the nodes that are left of this round
        self._whoever_wrote = False

    def next(self, connected: Collection[int]) -> Question:
        """Return what the next look reads."""
        question = Question(swept=self._next_slice(connected) if self.slice else [], marks=self.marks)
        if self.marks:
            question.whoever_wrote, self._whoever_wrote = self._whoever_wrote, False
        self.marks = self.slice = False
        return question

    @property
    def is_sweeping(self) -> bool:
        """Whether nodes are left of a round of the sweep."""
        return bool(self._round)

    def repeat(self, question: Question) -> None:
        """Read later what a look could not read."""
        self.again |= bool(question.swept)
        self._whoever_wrote |= question.marks

    def _next_slice(self, connected: Collection[int]) -> list[int]:
        if not self._round and self.again:
            self._round.extend(connected)
            self.again = False
        return [node for node in _first(self._round, SLICE) if node in connected]


def _first(items: deque[T], most: int) -> list[T]:
    return [items.popleft() for _ in range(min(len(items), most))]


class Poller:
    """The poller of one server. Use it in one thread only, which has its own connection."""

    def __init__(self) -> None:
        self._seen: Seen = None, -1

    def look(self, lease: int, connected: Container[int], question: Question) -> News:
        """Return the news for the `connected` nodes. `lease` is the lease under which they are connected."""
        news = News()
        if question.marks:
            self._seen, news.wrote = others_wrote(self._seen)
            if news.wrote or question.whoever_wrote:
                self._add_marked(lease, connected, news)
        if question.swept:
            rows = sql.waiting(question.caught_up, LOOK_LIMIT) if question.caught_up else []
            for node, number in rows:
                news.waiting.setdefault(node, []).append(number)
            news.complete = len(rows) < LOOK_LIMIT
            here = sql.nodes_at(lease, question.swept)
            news.gone += [node for node in question.swept if node not in here]
        return news

    def _add_marked(self, lease: int, connected: Container[int], news: News) -> None:
        """Add the nodes that another process has marked, and reset the marks.

        A node that is still logging in keeps its marks, since the loop could not act on them yet.
        """
        marked = [row for row in sql.marked_nodes(lease) if row[0] in connected]
        news.gone += [node for node, dropped, *_ in marked if dropped]
        news.start_over = [node for node, dropped, start_over, *_ in marked if start_over and not dropped]
        private = [node for node, dropped, _, privacy_changed, _ in marked if privacy_changed and not dropped]
        news.contested = [node for node, dropped, _, _, contested in marked if contested and not dropped]
        if news.start_over:
            Node.objects.filter(pk__in=news.start_over).update(start_over=None)
        if private:
            news.privacy = self._privacy(private)
            disabled = Node.objects.filter(pk__in=private, user__disabled__isnull=False)
            news.gone += disabled.values_list("pk", flat=True)

    def _privacy(self, nodes: Sequence[int]) -> dict[str, Privacy]:
        """Return the privacy of the users of these nodes. First reset the marks, so that a later change sets them."""
        with transaction.atomic():
            marked = Node.objects.filter(pk__in=nodes)
            marked.update(privacy_changed=None)
            return privacy_of(set(marked.values_list("user_id", flat=True)))
