"""What is sent next to which node: the nodes connected to this process, and what is under way to each (section 3).

A node has at most TMTP["WINDOW"] messages in flight; the next one is sent when one is acknowledged. A bounded number
more waits in memory; a node that falls further behind, or has just logged in, is `behind`: it reads its queue from
the database, a page at a time, until it has caught up. All of this is in the loop; the store does the reading.

Why nothing is missed or doubled: the store reports batches and pages in the order it made them. While a page is on
its way its node takes nothing else, and a page that says "that is all" is up to date with every batch reported so far.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import NamedTuple

from django.utils import timezone

from ..conf import conf
from ..services.people.privacy import Privacy
from ..services.queue import queue
from ..services.queue.batch import Parcel
from ..services.queue.reports import Note
from ..store.store import Store
from ..store.transactions import Unavailable
from .polling import News, Poller

log = logging.getLogger("tmtp")
WAITING_OCTETS = 64 * 1024
LEAVING_OCTETS = 64 * 1024
WAITING_MAX = 64
PAGE = 64


class Flight(NamedTuple):
    """What is kept in memory of a message that was sent. The message itself is in the database."""

    number: int
    rank: int
    sent: float  # when it had left for the node; before that, inf
    tracked: bool


@dataclass(slots=True, eq=False)
class Lane:
    """The way to one connected node. `send` puts a parcel on its link; `drop` ends the link."""

    node: int
    send: Callable[[Parcel], None]
    drop: Callable[[], None]
    window: int
    waiting: deque[Parcel] = field(default_factory=deque)
    flight: dict[str, Flight] = field(default_factory=dict)  # by msgid
    octets: int = 0  # waiting
    leaving: int = 0  # octets that are being sent
    behind: bool = True
    loading: bool = False
    outdated: bool = False  # the page on its way was read before `forget`

    def offer(self, parcel: Parcel) -> None:
        """Send a new message to the node, keep it in memory, or leave it in the database when there are too many."""
        if self.behind:
            return
        if not self.waiting and self.has_room():
            self._put(parcel)
        elif len(self.waiting) < WAITING_MAX and self.octets + len(parcel.frame) <= WAITING_OCTETS:
            self._keep(parcel)
        else:
            self.behind = True

    def fill(self) -> None:
        """Send what waits while there is room."""
        while self.waiting and self.has_room():
            parcel = self.waiting.popleft()
            self.octets -= len(parcel.frame)
            self._put(parcel)

    def extend(self, parcels: Iterable[Parcel]) -> None:
        """Keep the messages of a page."""
        for parcel in parcels:
            self._keep(parcel)

    def is_overdue(self, before: float) -> bool:
        """Return whether a message was sent before that time and is not acknowledged."""
        return any([flight.sent < before for flight in self.flight.values()])

    def forget(self, before: float = inf) -> None:
        """Begin again with what is in the database. What was sent before that time is no longer in flight."""
        self.flight = {msgid: flight for msgid, flight in self.flight.items() if not flight.sent < before}
        self.waiting.clear()
        self.octets = 0
        self.behind = True
        self.outdated = self.loading

    def sent(self, parcel: Parcel, now: float) -> None:
        """Note that a message has left for the node."""
        self.leaving -= len(parcel.frame)
        if parcel.msgid in self.flight:
            self.flight[parcel.msgid] = Flight(parcel.number, parcel.rank, now, parcel.tracked)

    def known(self) -> set[int]:
        """Return the numbers of all messages that are in flight or wait in memory."""
        return {flight.number for flight in self.flight.values()} | {parcel.number for parcel in self.waiting}

    def _put(self, parcel: Parcel) -> None:
        self.flight[parcel.msgid] = Flight(parcel.number, parcel.rank, inf, parcel.tracked)
        self.leaving += len(parcel.frame)
        self.send(parcel)

    def has_room(self) -> bool:
        """Return whether the window has room; and the link, so that large messages do not pile up in memory."""
        return len(self.flight) < self.window and self.leaving < LEAVING_OCTETS

    def _keep(self, parcel: Parcel) -> None:
        self.octets += len(parcel.frame)
        if self.waiting and parcel.rank < self.waiting[-1].rank:
            place = sum(other.rank <= parcel.rank for other in self.waiting)
            self.waiting.insert(place, parcel)
        else:
            self.waiting.append(parcel)


class Dispatcher:
    """The lanes of this process. The store reads queues for them, and deletes what is acknowledged.

    `protect` is called with the privacy of users, by uid, when it may have changed elsewhere.
    """

    def __init__(self, store: Store, protect: Callable[[dict[str, Privacy]], None]) -> None:
        self._store = store
        self._protect = protect
        self.lanes: dict[int, Lane] = {}
        self._poller = Poller()
        self._acked_meanwhile: set[tuple[int, int]] | None = None  # since a look began; None: none is under way
        self._look_again = False  # asked for while one was under way
        self._whoever_wrote = False  # the next look is due even if nobody else has written since the last

    def attach(self, node: int, send: Callable[[Parcel], None], drop: Callable[[], None]) -> Lane:
        """Add a connected node: send what waits for it, then what comes."""
        lane = self.lanes[node] = Lane(node, send, drop, conf.WINDOW)
        self._load(lane)
        return lane

    def detach(self, lane: Lane) -> None:
        """Remove a node that is gone. What was in flight stays in its queue."""
        if self.lanes.get(lane.node) is lane:
            del self.lanes[lane.node]

    def deliver(self, parcels: list[Parcel]) -> None:
        """Send messages that were just committed to their nodes that are connected here."""
        lanes = self.lanes
        for parcel in parcels:
            for node in parcel.nodes:
                lane = lanes.get(node)
                if lane:
                    lane.offer(parcel)

    def acknowledge(self, lane: Lane, msgid: str) -> None:
        """Delete a message from the queue of the node that has stored it, unless it is not in flight."""
        flight = lane.flight.pop(msgid, None)
        if flight is None:
            return
        if flight.tracked:  # first, so that no report is behind what is on disk
            self._store.note(Note(lane.node, flight.number, timezone.now(), True))
        self._store.acknowledge((lane.node, flight.rank, flight.number))
        if self._acked_meanwhile is not None:
            self._acked_meanwhile.add((lane.node, flight.number))
        self._go_on(lane)

    def sent(self, lane: Lane, parcel: Parcel, now: float) -> None:
        """Note that a message has left for the node."""
        if parcel.tracked:
            self._store.note(Note(lane.node, parcel.number, timezone.now(), False))
        lane.sent(parcel, now)
        self._go_on(lane)

    def _go_on(self, lane: Lane) -> None:
        """Send what waits, now that there is room, and have more read in time."""
        lane.fill()
        if lane.behind and lane.has_room() and len(lane.waiting) < lane.window:
            self._load(lane)

    def resend(self, now: float) -> None:
        """Read and send again what was sent TMTP["RESEND_AFTER"] seconds ago and is not acknowledged."""
        before = now - conf.RESEND_AFTER
        for lane in self.lanes.values():
            if lane.is_overdue(before):
                lane.forget(before)
                self._load(lane)

    def look(self) -> None:
        """Look for what other processes have put into the database. One look at a time."""
        if self._acked_meanwhile is not None:
            self._look_again = True
            return
        if not self.lanes:
            return
        self._acked_meanwhile = set()
        caught_up = [lane.node for lane in self.lanes.values() if not lane.behind]
        whoever_wrote, self._whoever_wrote = self._whoever_wrote, False
        look = partial(self._poller.look, self._store.lease, caught_up, list(self.lanes), whoever_wrote)
        self._store.read(look, self._looked)

    def _looked(self, news: News | Unavailable) -> None:
        acked, self._acked_meanwhile = self._acked_meanwhile or set(), None
        if isinstance(news, Unavailable):
            self._whoever_wrote = True  # it could not see; what was written meanwhile is still to be found
            return
        self._whoever_wrote |= not news.complete
        for node, numbers in news.waiting.items():
            lane = self.lanes.get(node)
            if lane and not lane.behind and self._has_unknown(lane, numbers, acked):
                lane.behind = True
                self._load(lane)
        for node in news.gone:
            lane = self.lanes.get(node)
            if lane:
                lane.drop()
        for node in news.start_over:
            lane = self.lanes.get(node)
            if lane:
                lane.forget()
                self._load(lane)
        if news.privacy:
            self._protect(news.privacy)
        if self._look_again:
            self._look_again = False
            self.look()

    @staticmethod
    def _has_unknown(lane: Lane, numbers: list[int], acked: set[tuple[int, int]]) -> bool:
        known = lane.known()
        return any(number not in known and (lane.node, number) not in acked for number in numbers)

    def _load(self, lane: Lane) -> None:
        """Have the next page of a node's queue read."""
        if lane.loading:
            return
        lane.loading = True
        known = lane.known()
        read_page = partial(queue.read_page, lane.node, PAGE + len(known), known)
        self._store.read(read_page, partial(self._loaded, lane))

    def _loaded(self, lane: Lane, result: tuple[list[Parcel], bool] | Unavailable) -> None:
        lane.loading = False
        if self.lanes.get(lane.node) is not lane:
            return
        if isinstance(result, Unavailable):
            lane.drop()  # the device comes back, and finds all of it
            return
        if lane.outdated:
            lane.outdated = False
            self._load(lane)
            return
        page, complete = result
        lane.behind = not complete
        if complete and self._acked_meanwhile is not None:
            self._whoever_wrote = True  # the look that is under way left this node out
        lane.extend(page)
        self._go_on(lane)
