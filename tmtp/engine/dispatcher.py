"""The dispatcher sends waiting messages to the nodes that are connected to this process (tmtp.md section 3).

A node has at most TMTP["WINDOW"] messages in flight. The next one is sent when one is acknowledged. A limited number
of further messages wait in memory. A node that has just logged in, or for which more messages wait, is `behind`: its
queue is read from the database, a page at a time, until it has caught up. The dispatcher runs in the event loop; the
store does the reading.

No message is missed or sent twice, because the store reports batches and pages in the order in which it made them.
While a page is being read, its node takes no other messages. A page that is complete includes every batch reported
before it. Messages that others handed over are read before the acknowledgements that wait in the store are committed:
those that were acknowledged lately are left out (`recent_acks`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import inf

from django.utils import timezone

from ..conf import conf
from ..services.people.privacy import Privacy
from ..services.queue import queue
from ..services.queue.batch import Parcel
from ..services.queue.reports import Note
from ..store.interface import AnyStore
from ..store.transactions import Unavailable
from ..times import SECOND
from .polling import Due, HandedOver, Held, News, Poller, Question
from .recent_acks import RecentAcks

log = logging.getLogger("tmtp")
WAITING_OCTETS = 64 * 1024
LEAVING_OCTETS = 64 * 1024
WAITING_MAX = 64
PAGE = 64


@dataclass(slots=True, eq=False)
class Flight:
    """The record in memory of a message that was sent. The message itself is in the database."""

    number: int
    rank: int
    sent: float  # the time at which it was written to the link; before that, inf
    tracked: bool


@dataclass(slots=True, eq=False)
class Lane:
    """The messages for one connected node. `send` puts a parcel on its link, and `drop` ends the link."""

    node: int
    send: Callable[[Parcel], None]
    drop: Callable[[], None]
    window: int
    waiting: deque[Parcel] = field(default_factory=deque)
    flight: dict[str, Flight] = field(default_factory=dict)  # by msgid
    octets: int = 0  # in `waiting`
    leaving: int = 0  # octets that are being sent
    behind: bool = True
    loading: bool = False
    pages: int = 0  # how many were read
    outdated: bool = False  # whether the page that is being read is from before `forget`

    def offer(self, parcel: Parcel) -> None:
        """Send a new message to the node, keep it in memory, or, if too many are there, leave it in the database."""
        if self.behind:
            return
        if not self.waiting and self.has_room():
            self._put(parcel)
        elif len(self.waiting) < WAITING_MAX and self.octets + len(parcel.frame) <= WAITING_OCTETS:
            self._keep(parcel)
        else:
            self.behind = True

    def fill(self) -> None:
        """Send waiting messages while there is room."""
        while self.waiting and self.has_room():
            parcel = self.waiting.popleft()
            self.octets -= len(parcel.frame)
            self._put(parcel)

    def extend(self, parcels: Iterable[Parcel]) -> None:
        """Keep the messages of a page in memory."""
        for parcel in parcels:
            self._keep(parcel)

    def is_overdue(self, before: float) -> bool:
        """Return whether a message that was sent before this time is not acknowledged."""
        return any([flight.sent < before for flight in self.flight.values()])

    def forget(self, before: float = inf) -> None:
        """Read the queue again from the database. Messages sent before this time are no longer in flight."""
        self.flight = {msgid: flight for msgid, flight in self.flight.items() if not flight.sent < before}
        self.waiting.clear()
        self.octets = 0
        self.behind = True
        self.outdated = self.loading

    def stop(self) -> None:
        """Leave all that was not sent in the database."""
        self.waiting.clear()
        self.octets = 0
        self.behind = False

    @property
    def is_idle(self) -> bool:
        """Return whether no message is in flight or waits to be."""
        return not (self.flight or self.waiting or self.behind)

    def sent(self, parcel: Parcel, now: float) -> None:
        """Note that a message has been written to the link."""
        self.leaving -= len(parcel.frame)
        flight = self.flight.get(parcel.msgid)
        if flight:
            flight.sent = now

    def known(self) -> set[int]:
        """Return the numbers of all messages that are in flight or wait in memory."""
        return {flight.number for flight in self.flight.values()} | {parcel.number for parcel in self.waiting}

    def _put(self, parcel: Parcel) -> None:
        self.flight[parcel.msgid] = Flight(parcel.number, parcel.rank, inf, parcel.tracked)
        self.leaving += len(parcel.frame)
        self.send(parcel)

    def has_room(self) -> bool:
        """Return whether the window has room, and the link, so that large messages do not accumulate in memory."""
        return len(self.flight) < self.window and self.leaving < LEAVING_OCTETS

    def _keep(self, parcel: Parcel) -> None:
        self.octets += len(parcel.frame)
        if self.waiting and parcel.rank < self.waiting[-1].rank:
            place = sum(other.rank <= parcel.rank for other in self.waiting)
            self.waiting.insert(place, parcel)
        else:
            self.waiting.append(parcel)


class Dispatcher:
    """The lanes of this process. The store reads queues for them, and deletes acknowledged messages.

    `protect` is called with the privacy of users, by uid, when another process may have changed it, and `contested`
    with a node that is logging in at another server.
    """

    def __init__(
        self,
        store: AnyStore,
        protect: Callable[[dict[str, Privacy]], None],
        contested: Callable[[int], None],
    ) -> None:
        self._store = store
        self._protect = protect
        self._contested = contested
        self.lanes: dict[int, Lane] = {}
        self._poller = Poller()
        self._acks = RecentAcks(store)
        self._handed_over = HandedOver()
        self._due = Due()
        self._looking = False

    def attach(self, node: int, send: Callable[[Parcel], None], drop: Callable[[], None]) -> Lane:
        """Add a connected node, and send it the messages that wait for it, then new ones."""
        lane = self.lanes[node] = Lane(node, send, drop, conf.WINDOW)
        self._load(lane)
        return lane

    def detach(self, lane: Lane) -> None:
        """Remove a node that has disconnected. Messages in flight stay in its queue."""
        if self.lanes.get(lane.node) is lane:
            del self.lanes[lane.node]

    def stop_sending(self) -> None:
        """Send no more messages. Those that are in flight can still be acknowledged."""
        for lane in self.lanes.values():
            lane.stop()
        self.lanes.clear()

    def deliver(self, parcels: list[Parcel]) -> None:
        """Send messages that were just committed to those of their nodes that are connected here.

        If others have handed over messages before that are not read yet, these go first.
        """
        lanes = self.lanes
        if self._handed_over:
            for parcel in parcels:
                self._hold(parcel)
            return
        for parcel in parcels:
            for node in parcel.nodes:
                lane = lanes.get(node)
                if lane:
                    lane.offer(parcel)

    def _hold(self, parcel: Parcel) -> None:
        """Send a message later to the nodes that know all before it now, unless a page brings it to them meanwhile."""
        found = [self.lanes[node] for node in parcel.nodes if node in self.lanes]
        waiting = [(lane, lane.pages) for lane in found if not lane.behind]

        def deliver() -> None:
            for lane, pages in waiting:
                if self.lanes.get(lane.node) is lane and lane.pages == pages:
                    lane.offer(parcel)

        if waiting:
            self._handed_over.add([Held(parcel, deliver)])

    def acknowledge(self, lane: Lane, msgid: str) -> None:
        """Delete a message from the queue of the node that has acknowledged it. Ignore one that is not in flight."""
        flight = lane.flight.pop(msgid, None)
        if flight is None:
            return
        if flight.tracked:  # first, so that no entry is deleted without its report
            self._store.note(Note(lane.node, flight.number, timezone.now(), True))
        self._store.acknowledge((lane.node, flight.rank, flight.number))
        self._acks.add((lane.node, flight.number))
        self._go_on(lane)

    def sent(self, lane: Lane, parcel: Parcel, now: float) -> None:
        """Note that a message has been written to the link of its node."""
        if parcel.tracked:
            self._store.note(Note(lane.node, parcel.number, timezone.now(), False))
        lane.sent(parcel, now)
        self._go_on(lane)

    def postpone(self, lane: Lane, parcel: Parcel, now: float) -> None:
        """Send a message again after TMTP["RESEND_AFTER"] seconds, unless it is acknowledged by then."""
        lane.sent(parcel, now)
        self._go_on(lane)

    def _go_on(self, lane: Lane) -> None:
        """Send waiting messages, and read the next page before they run out."""
        lane.fill()
        if lane.behind and lane.has_room() and len(lane.waiting) < lane.window:
            self._load(lane)

    def resend(self, now: float) -> int:
        """Send messages again that have not been acknowledged for TMTP["RESEND_AFTER"] seconds.

        Return to how many nodes.
        """
        before = now - conf.RESEND_AFTER
        overdue = [lane for lane in self.lanes.values() if lane.is_overdue(before)]
        for lane in overdue:
            lane.forget(before)
            self._load(lane)
        return len(overdue)

    def forget_acks(self) -> None:
        """Forget the acknowledgements that every query sees by now. Call it every second or so."""
        self._acks.forget()

    def oldest_in_flight(self) -> float:
        """Return how many seconds ago the oldest message that is in flight was posted, 0 if there is none.

        The first message that waits for a connected node is in flight.
        """
        lanes = list(self.lanes.values())
        numbers = [flight.number for lane in lanes if lane.flight for flight in list(lane.flight.values())]
        return round(max(0.0, time.time() - min(numbers) / SECOND), 3) if numbers else 0.0

    def read(self, numbers: Iterable[int]) -> None:
        """Read messages that others handed over, and send them to the nodes that are connected here."""
        self._handed_over.add(numbers)
        self._read()

    def look(self) -> None:
        """Look for changes to the connected nodes by other processes."""
        self._due.marks = True
        self._look()

    def poll(self, *, begin: bool = True) -> None:
        """Look for changes, and sweep the next nodes. Without `begin`, only go on with a sweep that has begun."""
        if begin:
            self._due.marks = True
        if begin or self._due.is_sweeping:
            self._due.slice = True
            self._look()
        self._read()

    def _read(self) -> None:
        """Have what was handed over read. Only one such query runs at a time."""
        if not self.lanes:
            self._handed_over.clear()
        if not self._handed_over or self._handed_over.is_reading:
            return
        numbers = self._handed_over.begin()
        if not numbers:
            self._have_read([])
            return
        self._acks.begin("read")
        self._store.read_soon(partial(queue.read_messages, numbers, self.lanes), self._have_read)

    def _have_read(self, parcels: list[Parcel] | Unavailable) -> None:
        """Send messages that were handed over, and those of this server that waited for them."""
        if isinstance(parcels, Unavailable):
            self._handed_over.repeat()
            self._acks.end("read")
            return
        for held in self._handed_over.end([Held(parcel, partial(self._offer, parcel)) for parcel in parcels]):
            held.deliver()
        self._acks.end("read")
        self._read()

    def _offer(self, parcel: Parcel) -> None:
        """Send a message that was handed over, unless the node knows it, or is behind and finds it in its queue."""
        for node in parcel.nodes:
            lane = self.lanes.get(node)
            if lane and not lane.behind and self._unknown(lane, [parcel.number]):
                lane.offer(parcel)

    def _look(self) -> None:
        """Have what is due read. Only one look runs at a time."""
        if self._looking or not self.lanes:
            return
        self._looking = True
        self._acks.begin("look")
        question = self._due.next(self.lanes)
        question.caught_up = [node for node in question.swept if not self.lanes[node].behind]
        look = partial(self._poller.look, self._store.lease, self.lanes, question)
        self._store.read(look, partial(self._looked, question))

    def _looked(self, question: Question, news: News | Unavailable) -> None:
        self._looking = False
        if isinstance(news, Unavailable):
            self._due.repeat(question)
        else:
            self._due.again |= news.wrote or not news.complete
            self._take(news)
        self._acks.end("look")
        if self._due.marks and not isinstance(news, Unavailable):
            self._look()

    def _take(self, news: News) -> None:
        self._find(news.waiting)
        for node in news.gone:
            lane = self.lanes.get(node)
            if lane:
                lane.drop()
        for node in news.start_over:
            lane = self.lanes.get(node)
            if lane:
                lane.forget()
                self._load(lane)
        for node in news.contested:
            self._contested(node)
        if news.privacy:
            self._protect(news.privacy)

    def _find(self, waiting: dict[int, list[int]]) -> None:
        """Have those messages read that a sweep has found and a node does not know.

        A node that is behind finds all of them in its queue.
        """
        found: set[int] = set()
        pending = self._handed_over.numbers() if waiting else set()
        for node, numbers in waiting.items():
            lane = self.lanes.get(node)
            unknown = self._unknown(lane, numbers) if lane and not lane.behind else []
            if lane and len(unknown) > WAITING_MAX:
                lane.behind = True
                self._load(lane)
            else:
                found.update(number for number in unknown if number not in pending)
        if found:
            self.read(sorted(found))  # as if they had been handed over, which may be happening just now

    def _unknown(self, lane: Lane, numbers: list[int]) -> list[int]:
        known = lane.known()
        return [number for number in numbers if number not in known and (lane.node, number) not in self._acks]

    def _load(self, lane: Lane) -> None:
        """Have the store read the next page of a node's queue."""
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
        away = isinstance(result, Unavailable) and result.may_wait
        if lane.outdated or away:
            lane.outdated = False
            self._load(lane)
            return
        if isinstance(result, Unavailable):
            lane.drop()  # the device connects again, and gets its whole queue
            return
        page, complete = result
        lane.pages += 1
        lane.behind = not complete
        if complete and self._looking:
            self._due.again = True  # the look that is running left this node out
        lane.extend(page)
        self._go_on(lane)
