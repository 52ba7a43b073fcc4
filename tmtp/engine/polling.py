"""Poll the database for changes by other processes: new messages for connected nodes, and nodes to disconnect.

A look costs the same however many nodes are connected. It reads the messages that others handed over, each once, and,
by an index, the nodes that something was decided about. What a lost hand-over or a crash has left is found by a sweep
over the queues of all connected nodes, a slice of which belongs to each look that TMTP["POLL"] brings.

On SQLite a look reads nothing else, and no sweep begins, unless another connection has written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, field

from django.db import transaction

from ..models import Node
from ..services.people.privacy import Privacy, privacy_of
from ..services.queue import queue
from ..services.queue.batch import Parcel
from ..services.storage import sql
from ..services.storage.dialect import Seen, others_wrote

LOOK_LIMIT = 50_000  # entries of a slice: with a full window and all that their server holds in memory, it has fewer
SLICE = 250  # nodes that are swept at once
AT_ONCE = 100  # messages that were handed over and are read at once


@dataclass(slots=True)
class Question:
    """What a look is to read, besides the nodes that something was decided about.

    `posted` are the numbers of messages that were handed over. `swept` are the nodes of a slice, and `caught_up` those
    of them that have all that this server knows of.
    """

    posted: Sequence[int] = ()
    swept: Sequence[int] = ()
    caught_up: Sequence[int] = ()
    marks: bool = True  # False: only the above
    whoever_wrote: bool = False  # look for marks although no other connection has written since the last time


@dataclass(slots=True)
class News:
    """Messages that were handed over, with their nodes that are connected here, and what else a look has found.

    Numbers waiting, by node; nodes that were dropped or are no longer this server's, and that start over; and the
    privacy of users, by uid, of whom it may have changed.
    """

    parcels: list[Parcel] = field(default_factory=list)
    waiting: dict[int, list[int]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    start_over: list[int] = field(default_factory=list)
    privacy: dict[str, Privacy] = field(default_factory=dict)
    complete: bool = True  # False: so much waits that some nodes of the slice have not been looked at
    wrote: bool = False  # another connection may have written since the last look


class Due:
    """What the next looks are to read: bounded parts of what was handed over, and of a sweep over all nodes."""

    def __init__(self) -> None:
        self.posted: deque[int] = deque()
        self.marks = False
        self.slice = False
        self.again = True  # after this round of the sweep, another one is needed
        self._round: deque[int] = deque()  # nodes that are left of it
        self._whoever_wrote = False

    def __bool__(self) -> bool:
        """Return whether something should be read at once."""
        return bool(self.posted or self.marks)

    def next(self, connected: Collection[int]) -> Question:
        """Return what to read now."""
        posted = _first(self.posted, AT_ONCE)
        question = Question(posted, self._next_slice(connected) if self.slice else [], [], self.marks)
        if self.marks:
            question.whoever_wrote, self._whoever_wrote = self._whoever_wrote, False
        self.marks = self.slice = False
        return question

    def repeat(self, question: Question) -> None:
        """Have asked again, at the next look, what could not be read."""
        self.posted.extendleft(reversed(question.posted))
        self.again |= bool(question.swept)
        self._whoever_wrote |= question.marks

    def _next_slice(self, connected: Collection[int]) -> list[int]:
        if not self._round and self.again:
            self._round.extend(connected)
            self.again = False
        return [node for node in _first(self._round, SLICE) if node in connected]


def _first(items: deque[int], most: int) -> list[int]:
    return [items.popleft() for _ in range(min(len(items), most))]


class Poller:
    """The poller of one server. Use it in one thread only, which has its own connection."""

    def __init__(self) -> None:
        self._seen: Seen = None, -1

    def look(self, lease: int, connected: Container[int], question: Question) -> News:
        """Return the news for the `connected` nodes. `lease` is the server's, under which they are connected."""
        news = News()
        if question.posted:
            news.parcels = queue.read_messages(question.posted, connected)
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
        """Add the nodes that something was decided about elsewhere, and remove the marks.

        A node that is only just logging in keeps its marks: until it is `connected`, nobody could act on them.
        """
        marked = [row for row in sql.marked_nodes(lease) if row[0] in connected]
        news.gone += [node for node, dropped, _, _ in marked if dropped]
        news.start_over = [node for node, dropped, start_over, _ in marked if start_over and not dropped]
        private = [node for node, dropped, _, privacy_changed in marked if privacy_changed and not dropped]
        if news.start_over:
            Node.objects.filter(pk__in=news.start_over).update(start_over=None)
        if private:
            news.privacy = self._privacy(private)

    def _privacy(self, nodes: Sequence[int]) -> dict[str, Privacy]:
        """Return what the users of these nodes have chosen, by uid.

        The marks are removed first, so a later change makes new ones.
        """
        with transaction.atomic():
            marked = Node.objects.filter(pk__in=nodes)
            marked.update(privacy_changed=None)
            return privacy_of(set(marked.values_list("user_id", flat=True)))
