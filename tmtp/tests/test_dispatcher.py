"""The dispatcher against a model of database, store and devices: nothing is lost or sent twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tmtp.engine import dispatcher as module
from tmtp.engine import polling
from tmtp.engine.dispatcher import Dispatcher, Lane
from tmtp.engine.polling import News, Question
from tmtp.services.queue.batch import Parcel
from tmtp.store.transactions import Unavailable

pytestmark = pytest.mark.once

WINDOW, RESEND_AFTER, PAGE, WAITING_MAX, WAITING_OCTETS = 2, 30, 4, 3, 40
NODES = [1, 2]
nodes = st.sampled_from(NODES)
some_nodes = st.sets(nodes, min_size=1).map(sorted)
ranks = st.sampled_from([0, 1, 1, 1, 1])
sizes = st.sampled_from([1, 1, 1, 30])

AWAY, BROKEN = Unavailable("store_unavailable"), Unavailable("database_error", reason="a bug")


class World:
    """A database, and a store whose thread works when the test tells it to."""

    def __init__(self) -> None:
        self.waiting: dict[int, dict[int, Parcel]] = {node: {} for node in NODES}
        self.version = self.seen = 0  # the version of the database, which changes when other processes write
        self.number = 0
        self.handed_in: deque[Any] = deque()
        self.coming: deque[Callable[[], Any]] = deque()  # reports to the loop, in order
        self.soon: deque[Any] = deque()  # queries that are run before all that was handed in
        self.down: Unavailable | None = None
        self.lease = 1
        self.dispatcher = Dispatcher(self, lambda chosen: None, lambda node: None)  # type: ignore[arg-type]
        self.dispatcher._poller = self  # type: ignore[assignment]

    # the store's interface for the dispatcher

    def acknowledge(self, entry: tuple[int, int, int]) -> None:
        self.handed_in.append(entry)

    def read(self, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.handed_in.append((function, done))

    def read_soon(self, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.soon.append((function, done))

    def read_messages(self, numbers: list[int], nodes: Container[int]) -> list[Parcel]:
        parcels = []
        for number in numbers:
            here = [node for node in NODES if number in self.waiting[node] and node in nodes]
            if here:
                found = self.waiting[here[0]][number]
                parcels.append(Parcel(number, found.rank, found.frame, None, here))
        return parcels

    def read_page(self, node: int, limit: int, known: set[int]) -> tuple[list[Parcel], bool]:
        rows = sorted(self.waiting[node].values(), key=lambda parcel: (parcel.rank, parcel.number))[:limit]
        return [parcel for parcel in rows if parcel.number not in known], len(rows) < limit

    def look(self, lease: int, connected: Container[int], question: Question) -> News:
        news = News()
        if question.marks:
            news.wrote, self.seen = self.seen != self.version, self.version
        news.waiting = {node: list(self.waiting[node]) for node in question.caught_up if self.waiting[node]}
        return news

    # what happens

    def write(self, to: list[int], rank: int, size: int) -> Parcel:
        self.number += 1
        parcel = Parcel(self.number, rank, b"x" * size, None, to)
        for node in to:
            self.waiting[node][parcel.number] = Parcel(self.number, rank, b"x" * size)
        return parcel

    def work(self) -> None:
        """Run the thread: it takes all items, commits a batch, reports it, then does the reads."""
        batch, self.handed_in = self.handed_in, deque()
        for entry in batch:
            if len(entry) == 3 and not isinstance(entry[0], list):
                self.waiting[entry[0]].pop(entry[2], None)
        parcels = [self.write(*entry) for entry in batch if isinstance(entry[0], list)]
        self.coming.append(lambda: self.dispatcher.deliver(parcels))
        for entry in batch:
            if len(entry) == 2:
                function, done = entry
                result = self.down or function()
                self.coming.append(lambda done=done, result=result: done(result))  # type: ignore[misc]

    def read_first(self) -> None:
        """Run the thread: it runs those queries, and no batch."""
        while self.soon:
            function, done = self.soon.popleft()
            result = self.down or function()
            self.coming.append(lambda done=done, result=result: done(result))  # type: ignore[misc]

    def turn(self) -> None:
        """Run the loop for the next report of the thread."""
        if self.coming:
            self.coming.popleft()()


class Link:
    """A connected device."""

    def __init__(self, world: World, node: int) -> None:
        self.leaving: list[Parcel] = []
        self.unacked: dict[int, float] = {}  # the time at which each message was sent
        self.acked: set[int] = set()
        self.first_sent: list[tuple[int, int]] = []
        self.due: set[int] = set()  # messages to be sent again
        self.dropped = False
        self.lane: Lane = world.dispatcher.attach(node, self.send, self.drop)

    def send(self, parcel: Parcel) -> None:
        again = parcel.number in self.unacked
        assert not again or parcel.number in self.due, f"{parcel.number} is sent twice"
        assert parcel.number not in self.acked, f"{parcel.number} is sent after it was acknowledged"
        self.due.discard(parcel.number)
        self.unacked[parcel.number] = -1
        if not again:
            self.first_sent.append((parcel.rank, parcel.number))
        self.leaving.append(parcel)

    def drop(self) -> None:
        self.dropped = True


class Dispatching(RuleBasedStateMachine):
    """A state machine in which anything may happen at any time."""

    @initialize()
    def begin(self) -> None:
        self.patch = pytest.MonkeyPatch()
        for name, value in {"PAGE": PAGE, "WAITING_MAX": WAITING_MAX, "WAITING_OCTETS": WAITING_OCTETS}.items():
            self.patch.setattr(module, name, value)
        self.patch.setattr(module, "conf", SimpleNamespace(WINDOW=WINDOW, RESEND_AFTER=RESEND_AFTER))
        self.patch.setattr(polling, "SLICE", 1)
        self.patch.setattr(polling, "AT_ONCE", 2)
        self.world = World()
        self.patch.setattr(module.queue, "read_page", self.world.read_page)
        self.patch.setattr(module.queue, "read_messages", self.world.read_messages)
        self.links: dict[int, Link] = {}
        self.foreign: set[int] = set()  # numbers assigned by other processes
        self.now = 1000.0

    @rule(to=some_nodes, rank=ranks, size=sizes)
    def post(self, to: list[int], rank: int, size: int) -> None:
        self.world.handed_in.append((to, rank, size))

    @rule(to=some_nodes, count=st.integers(3, 12))
    def flood(self, to: list[int], count: int) -> None:
        self.world.handed_in.extend([(to, 1, 1)] * count)

    @rule(to=some_nodes, rank=ranks, size=sizes)
    def another_process_posts(self, to: list[int], rank: int, size: int) -> None:
        self.foreign.add(self.world.write(to, rank, size).number)
        self.world.version += 1

    @rule(to=some_nodes, rank=ranks, size=sizes, times=st.integers(1, 2))
    def another_process_posts_and_hands_over(self, to: list[int], rank: int, size: int, times: int) -> None:
        self.another_process_posts(to, rank, size)
        for _ in range(times):
            self.world.dispatcher.read([self.world.number])

    @precondition(lambda self: self.foreign)
    @rule(back=st.integers(1, 6))
    def it_is_handed_over_late_or_again(self, back: int) -> None:
        self.world.dispatcher.read(sorted(self.foreign)[-back:][:1])

    @rule()
    def work(self) -> None:
        self.world.work()

    @rule(times=st.integers(1, 3))
    def turn(self, times: int) -> None:
        for _ in range(times):
            self.world.turn()

    @rule()
    def read_first(self) -> None:
        self.world.read_first()

    @rule()
    def look(self) -> None:
        self.world.dispatcher.poll()

    @rule()
    def forget_acks(self) -> None:
        self.world.dispatcher.forget_acks()

    @rule()
    def hint(self) -> None:
        self.world.dispatcher.look()

    @rule(node=nodes)
    def connect(self, node: int) -> None:
        if node not in self.links:
            self.links[node] = Link(self.world, node)

    @rule(node=nodes)
    def disconnect(self, node: int) -> None:
        link = self.links.pop(node, None)
        if link:
            self.world.dispatcher.detach(link.lane)

    @rule(node=nodes)
    def write_out(self, node: int) -> None:
        link = self.links.get(node)
        if link:
            for parcel in link.leaving:
                link.lane.sent(parcel, self.now)
                if parcel.number in link.unacked:
                    link.unacked[parcel.number] = self.now
            link.leaving.clear()

    @rule(node=nodes, index=st.integers(0, 5))
    def acknowledge(self, node: int, index: int) -> None:
        link = self.links.get(node)
        if link and link.unacked:
            number = list(link.unacked)[index % len(link.unacked)]
            if f"{number:016x}" in link.lane.flight:
                del link.unacked[number]
                link.acked.add(number)
            else:
                assert number in link.due, "it is read again, and its ack comes too late"
            self.world.dispatcher.acknowledge(link.lane, f"{number:016x}")

    @rule(node=nodes, msgid=st.sampled_from(["", "0", "ffffffffffffffff", "\0", "0000000000000001"]))
    def acknowledge_something_else(self, node: int, msgid: str) -> None:
        link = self.links.get(node)
        if link and msgid not in [f"{number:016x}" for number in link.unacked]:
            before = len(self.world.handed_in)
            self.world.dispatcher.acknowledge(link.lane, msgid)
            assert len(self.world.handed_in) == before

    @rule(seconds=st.sampled_from([10, 29, 31, 100]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        for link in self.links.values():
            link.due |= {number for number, at in link.unacked.items() if 0 <= at < self.now - RESEND_AFTER}
        self.world.dispatcher.resend(self.now)
        for link in self.links.values():
            assert not link.due & {flight.number for flight in link.lane.flight.values()}

    @precondition(lambda self: self.links)
    @rule(error=st.sampled_from([AWAY, BROKEN]))
    def a_read_fails(self, error: Unavailable) -> None:
        self.world.down = error
        self.world.read_first()
        self.world.work()
        self.world.down = None
        while self.world.coming:
            self.world.turn()
        for node, link in list(self.links.items()):
            if link.dropped:
                self.disconnect(node)

    @invariant()
    def windows_and_memory_are_bounded(self) -> None:
        for link in getattr(self, "links", {}).values():
            lane = link.lane
            assert len(lane.flight) <= WINDOW
            assert {flight.number for flight in lane.flight.values()} == link.unacked.keys() - link.due
            assert len(lane.waiting) <= WINDOW + PAGE + WAITING_MAX
            assert lane.octets == sum(len(parcel.frame) for parcel in lane.waiting)
            order = [parcel.rank for parcel in lane.waiting]
            assert order == sorted(order)

    @invariant()
    def the_order_is_kept(self) -> None:
        for link in getattr(self, "links", {}).values():
            for rank in (0, 1):
                own = [number for its, number in link.first_sent if its == rank and number not in self.foreign]
                assert own == sorted(own)

    def teardown(self) -> None:
        """When all devices are connected and acknowledge, in the end nothing waits any more."""
        if not hasattr(self, "links"):
            return
        for _ in range(len(NODES) * 400):
            for node in NODES:
                self.connect(node)
                self.write_out(node)
                for index in reversed(range(len(self.links[node].unacked))):
                    self.acknowledge(node, index)
            self.look()
            self.world.read_first()
            self.world.work()
            while self.world.coming:
                self.world.turn()
            if not any(self.world.waiting.values()) and not self.world.handed_in:
                break
        self.patch.undo()
        assert not any(self.world.waiting.values()), "something was never sent"
        for link in self.links.values():
            assert not link.lane.known()
            assert not link.dropped


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# some cases by name


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module.queue, "read_page", made.read_page)
    monkeypatch.setattr(module.queue, "read_messages", made.read_messages)
    monkeypatch.setattr(module, "conf", SimpleNamespace(WINDOW=WINDOW, RESEND_AFTER=RESEND_AFTER))
    return made


def settle(world: World) -> None:
    while world.handed_in or world.coming or world.soon:
        world.read_first()
        world.work()
        while world.coming:
            world.turn()


def test_what_waited_comes_before_what_comes(world: World) -> None:
    for _ in range(5):
        world.write([1], 1, 1)
    link = Link(world, 1)
    world.handed_in.append(([1], 1, 1))
    world.handed_in.append(([1], 0, 1))
    settle(world)
    for _ in range(7):
        assert len(link.lane.flight) <= WINDOW
        world.dispatcher.acknowledge(link.lane, next(iter(link.lane.flight)))
        settle(world)
    assert sorted(number for _, number in link.first_sent) == list(range(1, 8))
    assert link.first_sent[0] == (0, 7), "of all that waits, a user message goes first"


def test_a_look_that_was_under_way_as_a_node_caught_up_is_followed_by_another(world: World) -> None:
    link = Link(world, 1)  # its page has been requested
    world.dispatcher.poll()  # this look leaves the node out
    page, look = world.handed_in
    world.handed_in.clear()
    page_result = page[0]()
    world.write([1], 1, 1)
    world.version += 1
    look_result = look[0]()  # and the look has seen the version of the database
    page[1](page_result)
    look[1](look_result)
    world.dispatcher.poll()
    settle(world)
    assert link.first_sent == [(1, 1)]


def test_it_is_sent_again_thirty_seconds_after_it_has_really_left(world: World) -> None:
    link = Link(world, 1)
    world.handed_in.append(([1], 1, 1))
    settle(world)
    for sent, now, times in [(None, 10**9, 1), (100.0, 130.0, 1), (100.0, 130.1, 2), (None, 10**9, 2)]:
        if sent:
            link.lane.sent(link.leaving[0], sent)
        link.due = {1} if times > len(link.leaving) else set()
        world.dispatcher.resend(now)
        settle(world)
        assert len(link.leaving) == times


def test_a_node_that_starts_over_gets_all_of_it_again(world: World) -> None:
    link = Link(world, 1)
    for _ in range(3):
        world.handed_in.append(([1], 1, 1))
    settle(world)
    for parcel in link.leaving:
        link.lane.sent(parcel, 100.0)
    link.due = {1, 2}
    world.dispatcher._looked(Question(), News(start_over=[1]))
    settle(world)
    assert [parcel.number for parcel in link.leaving] == [1, 2, 1, 2]
    assert [parcel.number for parcel in link.lane.waiting] == [3]


def test_a_link_that_came_after_is_left_alone_by_the_end_of_the_one_before(world: World) -> None:
    first = Link(world, 1)
    second = Link(world, 1)
    world.dispatcher.detach(first.lane)
    world.handed_in.append(([1], 1, 1))
    settle(world)
    assert (first.first_sent, second.first_sent) == ([], [(1, 1)])


def test_what_is_handed_over_is_sent_without_reading_queues(world: World) -> None:
    links = [Link(world, node) for node in NODES]
    settle(world)
    number = world.write(NODES, 1, 1).number
    world.dispatcher.read([number])
    world.read_first()
    assert [parcel.number for link in links for parcel in link.leaving] == []
    world.turn()
    assert [link.first_sent for link in links] == [[(1, number)], [(1, number)]]
    assert not world.handed_in


def test_a_message_of_this_server_does_not_overtake_one_that_was_handed_over_before(world: World) -> None:
    link = Link(world, 1)
    settle(world)
    elsewhere = world.write([1], 1, 1)
    world.dispatcher.read([elsewhere.number])
    own = world.write([1], 1, 1)
    world.dispatcher.deliver([own])
    assert not link.first_sent
    settle(world)
    assert link.first_sent == [(1, elsewhere.number), (1, own.number)]
    world.dispatcher.acknowledge(link.lane, own.msgid)
    after = world.write([1], 1, 1)
    world.dispatcher.deliver([after])
    assert link.first_sent[2:] == [(1, after.number)], "nothing is being read any more"


def test_what_is_acknowledged_is_not_sent_again_before_the_ack_is_committed(world: World) -> None:
    link = Link(world, 1)
    settle(world)
    parcel = world.write([1], 1, 1)
    for _ in range(3):
        world.dispatcher.read([parcel.number])
        world.read_first()
        world.turn()
        world.dispatcher.acknowledge(link.lane, parcel.msgid)
        world.dispatcher.forget_acks()
    settle(world)
    assert link.first_sent == [(1, parcel.number)]


def test_what_is_handed_over_while_a_page_is_read_that_is_without_it(world: World) -> None:
    link = Link(world, 1)
    world.work()  # the page is read, and not reported yet
    parcel = world.write([1], 1, 1)
    world.dispatcher.read([parcel.number])
    world.read_first()
    while world.coming:
        world.turn()
    assert link.first_sent == [(1, parcel.number)]


def test_acknowledgements_are_remembered_for_a_few_looks(world: World) -> None:
    link = Link(world, 1)
    settle(world)
    for _ in range(20):
        parcel = world.write([1], 1, 1)
        world.dispatcher.deliver([parcel])
        world.dispatcher.acknowledge(link.lane, parcel.msgid)
        world.dispatcher.forget_acks()
        settle(world)
    assert len(world.dispatcher._acks) <= 2


def test_a_hand_over_that_is_lost_is_found_by_the_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "SLICE", 1)
    links = [Link(world, node) for node in NODES]
    settle(world)
    for _ in range(2):
        world.dispatcher.poll()
        settle(world)
    number = world.write(NODES, 1, 1).number
    world.version += 1
    for _ in range(1 + len(NODES)):  # one to see that somebody wrote, then a node at a time
        world.dispatcher.poll()
        settle(world)
    assert [link.first_sent for link in links] == [[(1, number)], [(1, number)]]


def test_while_others_tell_of_changes_a_sweep_goes_on_but_none_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "SLICE", 1)
    links = [Link(world, node) for node in NODES]
    settle(world)
    for _ in range(2):
        world.dispatcher.poll()
        settle(world)
    number = world.write(NODES, 1, 1).number
    world.version += 1
    world.dispatcher.poll(begin=False)
    settle(world)
    assert [link.first_sent for link in links] == [[], []]
    for _ in range(2):  # one to see that somebody wrote, and one that begins the sweep
        world.dispatcher.poll()
        settle(world)
    for _ in range(len(NODES) - 1):
        world.dispatcher.poll(begin=False)
        settle(world)
    assert [link.first_sent for link in links] == [[(1, number)], [(1, number)]]


def test_what_could_not_be_read_is_read_at_the_next_look(world: World) -> None:
    link = Link(world, 1)
    settle(world)
    number = world.write([1], 1, 1).number
    world.down = BROKEN
    world.dispatcher.read([number])
    settle(world)
    world.down = None
    assert not link.first_sent
    world.dispatcher.poll()
    settle(world)
    assert link.first_sent == [(1, number)]


def test_a_link_stays_while_the_database_is_away(world: World) -> None:
    number = world.write([1], 1, 1).number
    world.down = AWAY
    link = Link(world, 1)
    for _ in range(3):
        world.work()
        world.turn()
        world.turn()
    assert not link.dropped
    world.down = None
    settle(world)
    assert link.first_sent == [(1, number)]


def test_a_link_whose_queue_cannot_be_read_is_closed(world: World) -> None:
    world.down = BROKEN
    link = Link(world, 1)
    settle(world)
    assert link.dropped
