"""The store: one commit for all waiting jobs, each link in order, no job undone by another, nothing done twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import Error, IntegrityError, OperationalError, connection, connections
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.models import Group, Member, Message, QueueEntry, User
from tmtp.protocol.requests import TO_GROUP, TO_USER, Recipient
from tmtp.services.errors import Refused
from tmtp.services.messages import directory, fanout
from tmtp.services.messages.posts import Post
from tmtp.services.people.actors import Sender
from tmtp.services.queue import leases
from tmtp.services.queue.batch import Parcel, without_batch
from tmtp.store import transactions
from tmtp.store.batching import Job, PostJob, ServiceJob, phases
from tmtp.store.store import Store
from tmtp.store.transactions import Unavailable

from .people import ops, own, someone, to, waiting

on_disk = pytest.mark.django_db(transaction=True)


class Loop:
    """An event loop that runs the thread's callbacks at once."""

    def call_soon_threadsafe(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    call_soon = call_soon_threadsafe


class Bench:
    """A store that works in this thread, when the test tells it to. `seen` are its reports, in order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.store = Store(Loop(), lambda parcels: self.seen.append(parcels))  # type: ignore[arg-type]
        self.store.leases = frozenset([leases.take("127.0.0.1:1").pk])

    def work(self) -> list[Any]:
        self.seen.clear()
        self.store._items.put(None)
        self.store._work()
        return self.seen

    def post(self, sender: Sender, *people: Sender, link: object = None, **more: Any) -> None:
        self.store.post(link, Post(sender, to(*people), b"hello", **more), self.seen.append)

    def call(self, function: Callable[[], Any], link: object = None) -> None:
        self.store._items.put(ServiceJob(link, without_batch(function), self.seen.append))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(transactions, "make_durable", lambda: None)
    return Bench()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Let time pass only where the store sleeps. Return the pauses."""
    pauses: list[float] = []
    start = transactions.time.monotonic()
    monkeypatch.setattr(transactions.time, "sleep", pauses.append)
    monkeypatch.setattr(transactions.time, "monotonic", lambda: start + sum(pauses))
    yield pauses
    monkeypatch.undo()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, Exception]]:
    """Return a list for the next commits, last first: whether each reaches the disk, and what it raises."""
    coming: list[tuple[bool, Exception]] = []
    kind = type(connections["default"])
    commit = kind._commit

    def commit_or_not(self: Any) -> None:
        reaches, error = coming.pop() if coming else (True, None)
        if reaches:
            commit(self)
        if error:
            raise error

    monkeypatch.setattr(kind, "_commit", commit_or_not)
    return coming


Commits = list[tuple[bool, Exception]]


# order


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_each_links_jobs_keep_their_order_and_none_is_lost(kinds: list[tuple[str, bool]]) -> None:
    post = Post(Sender("", 0), [], b"")
    jobs = [
        PostJob(link, post, print, result=n) if is_post else ServiceJob(link, without_batch(print), print, result=n)
        for n, (link, is_post) in enumerate(kinds)
    ]
    ran: list[Job] = []
    for posts, calls in phases(list(jobs)):
        assert all(isinstance(job, PostJob) for job in posts)
        assert not any(isinstance(job, PostJob) for job in calls)
        assert posts or calls
        ran += posts + calls
    assert sorted(job.result for job in ran) == [job.result for job in jobs]
    for link in "abc":
        numbers = [job.result for job in ran if job.link == link]
        assert numbers == sorted(numbers)


def test_posts_of_many_links_go_together() -> None:
    jobs = [PostJob(link, Post(Sender("", 0), [], b""), print) for link in range(100)]
    assert [(len(posts), len(calls)) for posts, calls in phases(jobs)] == [(100, 0)]


@on_disk
def test_a_batch_is_handed_over_before_it_is_reported(bench: Bench) -> None:
    """Otherwise, what follows from an ack at another server could overtake the message."""
    bench.store._hand_over = lambda parcels: bench.seen.append("handed over")
    bench.post(someone(), someone())
    handed_over, number, (parcel,) = bench.work()
    assert (handed_over, number) == ("handed over", parcel.number)


@on_disk
def test_a_batch_is_reported_when_it_is_on_disk_and_its_parcels_go_last(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = someone(), someone()
    kind, reported = type(connections["default"]), []
    commit = kind._commit
    monkeypatch.setattr(kind, "_commit", lambda self: reported.append(len(bench.seen)) or commit(self))
    for _ in range(50):
        bench.post(ann, bob, link=_)
    bench.store.read(lambda: len(waiting(bob)), bench.seen.append)
    *results, parcels, read = bench.work()
    assert reported == [0], "one commit, before anything is reported"
    assert results == [parcel.number for parcel in parcels]
    assert read == 50
    assert [header["id"] for header in waiting(bob)] == [parcel.msgid for parcel in parcels]


@on_disk
def test_a_query_that_may_see_less_does_not_wait_for_the_next_batch(bench: Bench) -> None:
    ann, bob = someone(), someone()
    bench.post(ann, bob)
    bench.store.read_soon(lambda: len(waiting(bob)), bench.seen.append)
    found = bench.work()
    assert found[0] == 0, "it waits for nothing"
    assert type(found[1]) is int
    bench.call(lambda: bench.store.read_soon(lambda: len(waiting(bob)), bench.seen.append))
    assert bench.work() == [None, [], 1], "one that comes during a batch is run after it"


@on_disk
def test_acknowledgements_go_first(bench: Bench) -> None:
    ann, bob = someone(), someone()
    bench.post(ann, bob)
    number, _ = bench.work()
    bench.store.acknowledge((bob.node or 0, 1, number))
    bench.call(QueueEntry.objects.count)
    assert bench.work() == [0, []]
    assert not Message.objects.exists()


# failures of jobs


@on_disk
def test_a_job_that_fails_undoes_only_itself(bench: Bench) -> None:
    ann, bob = someone(), someone()

    def half_done() -> None:
        User.objects.create(uid="half done")
        raise Refused("no_recipient")

    def broken() -> None:
        User.objects.create(uid=ann.uid)

    bench.post(ann, bob)
    bench.call(half_done)
    bench.call(broken)
    bench.call(lambda: User.objects.create(uid="done").uid)
    bench.store.post(None, Post(ann, [Recipient("nobody", TO_USER)], b""), bench.seen.append)
    first, refused, error, done, unknown, parcels = bench.work()
    assert isinstance(first, int)
    assert [str(refused), type(error), done, type(unknown)] == [
        "there is no recipient",
        IntegrityError,
        "done",
        Refused,
    ]
    assert len(parcels) == 1
    assert not User.objects.filter(uid="half done").exists()
    assert ops(bob) == ["delivery"]


@on_disk
def test_a_post_that_breaks_the_batch_undoes_no_other(bench: Bench) -> None:
    ann, bob = someone(), someone()
    bench.post(ann, bob)
    bench.post(ann, bob, datahead={"no": {1: object()}})  # which cannot be encoded in a header
    bench.post(ann, bob)
    first, broken, third, parcels = bench.work()
    assert isinstance(broken, Exception)
    assert [parcel.number for parcel in parcels] == [first, third]
    assert len(waiting(bob)) == 2


@on_disk
def test_a_batch_that_cannot_be_committed_does_not_end_the_store(bench: Bench, commits: Commits) -> None:
    ann = someone()
    commits += [(False, IntegrityError("deferred"))] * 2
    bench.call(lambda: User.objects.create(uid="never").uid)
    bench.store.acknowledge((ann.node or 0, 1, 1))
    failed, parcels = bench.work()
    assert isinstance(failed, Unavailable)
    assert parcels == []
    bench.call(lambda: "still here")
    assert bench.work() == ["still here", []]
    assert not User.objects.filter(uid="never").exists()


def _raise(error: Exception) -> Any:
    raise error


@on_disk
def test_who_cannot_be_told_does_not_keep_the_others_from_it(bench: Bench) -> None:
    bench.store._items.put(ServiceJob(None, without_batch(lambda: 1), lambda _: _raise(ValueError("gone"))))
    bench.call(lambda: 2)
    assert bench.work() == [2, []]


@on_disk
@pytest.mark.parametrize("error", [OperationalError("away"), ValueError("bug")])
def test_a_read_that_fails_says_so(bench: Bench, clock: list[float], error: Exception) -> None:
    bench.store.read(lambda: _raise(error), bench.seen.append)
    bench.store.read(lambda: "next", bench.seen.append)
    failed, following = bench.work()
    assert isinstance(failed, Unavailable)
    assert following == "next"


# failures of the database


@on_disk
def test_it_is_tried_again_while_the_database_is_away(bench: Bench, clock: list[float], commits: Commits) -> None:
    ann, bob = someone(), someone()
    commits += [(False, OperationalError("away"))] * 4
    bench.post(ann, bob)
    bench.call(lambda: User.objects.create(uid="once").uid)
    number, once, parcels = bench.work()
    assert once == "once"
    assert [parcel.number for parcel in parcels] == [number]
    assert [header["id"] for header in waiting(bob)] == [parcels[0].msgid]
    assert 0 < sum(clock) < 5


@on_disk
def test_after_some_patience_nothing_was_done(
    bench: Bench, clock: list[float], commits: Commits, settings: Any
) -> None:
    settings.TMTP = {**settings.TMTP, "STORE_PATIENCE": 3}
    ann, bob = someone(), someone()
    bench.post(ann, bob)
    number, _ = bench.work()
    commits += [(False, OperationalError("away"))] * 100
    bench.post(ann, bob)
    bench.store.acknowledge((bob.node or 0, 1, number))
    failed, parcels = bench.work()
    assert isinstance(failed, Unavailable)
    assert parcels == []
    assert 3 < sum(clock) < 6
    assert len(waiting(bob)) == 1
    commits.clear()
    bench.call(lambda: "back")
    assert bench.work() == ["back", []]
    assert waiting(bob) == [], "the acknowledgement was kept"


@on_disk
def test_a_commit_that_succeeded_and_failed_to_say_so_is_not_done_twice(
    bench: Bench, clock: list[float], commits: Commits
) -> None:
    ann, bob = someone(), someone()
    commits += [(True, OperationalError("the connection was lost"))]
    bench.post(ann, bob)
    bench.call(lambda: User.objects.create(uid="once").uid)
    number, once, parcels = bench.work()
    assert (once, [parcel.number for parcel in parcels]) == ("once", [number])
    assert len(waiting(bob)) == User.objects.filter(uid="once").count() == 1


@on_disk
def test_not_even_when_it_takes_a_while_to_find_out(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, clock: list[float], commits: Commits
) -> None:
    commits += [(True, OperationalError("the connection was lost"))]
    committed, away = leases.committed, [OperationalError("away")] * 5
    monkeypatch.setattr(leases, "committed", lambda lease: _raise(away.pop()) if away else committed(lease))
    bench.call(lambda: User.objects.create(uid="once").uid)
    assert bench.work() == ["once", []]
    assert User.objects.filter(uid="once").count() == 1


@on_disk
def test_a_lost_lease_is_noticed(bench: Bench) -> None:
    bench.call(lambda: None)
    bench.work()
    assert not bench.store.lost
    bench.call(lambda: leases.release(bench.store.lease))
    bench.work()
    assert bench.store.lost == {bench.store.lease}


# the thread


@on_disk
async def test_who_answers_a_report_is_in_the_next_batch_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tmtp.store.store.SETTLE_PATIENCE", 10)
    store = Store(asyncio.get_running_loop(), lambda parcels: None)
    store.start()
    senders = [Sender(f"uid {n}", n, n) for n in range(20)]
    done = asyncio.Event()
    left = 5 * len(senders)

    def post_after(turns: int, sender: Sender) -> None:
        if turns:
            time.sleep(0.001)  # lets the store's thread run
            asyncio.get_running_loop().call_soon(post_after, turns - 1, sender)
        else:
            post(sender)

    def post(sender: Sender) -> None:
        def again(result: int | Exception) -> None:
            nonlocal left
            left -= 1
            if left >= len(senders):
                post_after((sender.node or 0) % 4, sender)
            elif not left:
                done.set()

        store.post(sender.node, Post(sender, [], b"hello"), again)

    for sender in senders:
        post(sender)
    await asyncio.wait_for(done.wait(), 30)
    await store.stop()
    counts = store.counters.batch_jobs.figures()["counts"]
    assert sum(counts) <= 6, "five rounds of posts, the first of which may be in two batches"


@on_disk
async def test_what_was_handed_in_is_done_before_it_stops() -> None:
    delivered: list[list[Parcel]] = []
    store = Store(asyncio.get_running_loop(), delivered.append)
    store.start()
    ran: list[int] = []
    for n in range(2500):
        store.do(None, without_batch(ran.append, n))
    assert await store.run("a link", without_batch(lambda: "done")) == "done"
    with pytest.raises(Refused):
        await store.run("a link", without_batch(_raise, Refused("no_recipient")))
    store.do(None, without_batch(ran.append, 2500))
    await store.stop()
    assert ran == list(range(2501))
    assert not store._thread.is_alive()


@on_disk
async def test_a_fault_of_the_store_itself_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr("tmtp.store.store.os.kill", lambda *args: signals.append(args))
    monkeypatch.setattr("tmtp.store.store.Order.admit", lambda *args: 1 / 0)
    store = Store(asyncio.get_running_loop(), lambda parcels: None)
    store.start()
    store.do(None, without_batch(lambda: None))
    await store.stop()
    assert store.broken
    assert signals == [(os.getpid(), signal.SIGTERM)]


@on_disk
def test_each_post_of_a_user_with_many_nodes_reaches_them_all(bench: Bench) -> None:
    ann, bob = someone(), someone(nodes=3)
    bench.post(ann, bob)
    _, (parcel,) = bench.work()
    assert sorted(parcel.nodes) == own(bob)


# posts to many


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> list[Sender]:
    """Create a group that is far too large for one batch, and return its members."""
    for where in (fanout, directory):
        monkeypatch.setattr(where, "AT_ONCE", 2)
    group = Group.objects.create(gid="the great group")
    crowd = [someone() for _ in range(7)]
    for person in crowd:
        Member.objects.create(group=group, user_id=person.user, alias="member", status=2)
    return crowd


def to_all(bench: Bench, sender: Sender, told: Callable[[Any], None], link: object) -> None:
    bench.store.post(link, Post(sender, [Recipient("the great group", TO_GROUP)], b"large"), told)


@on_disk
def test_others_need_not_wait_for_a_post_to_many(bench: Bench, crowd: list[Sender]) -> None:
    told: list[str] = []
    to_all(bench, crowd[0], lambda _: told.append("to many"), "a link")

    def another(n: int) -> None:
        """Submit a post while the batch before is reported."""
        told.append(f"small {n}")
        if n < 4:
            small = Post(crowd[1], to(crowd[2]), b"small")
            bench.store.post("another link", small, lambda _: another(n + 1))

    another(0)
    bench.work()
    assert told.index("small 3") < told.index("to many") < len(told)
    assert len(waiting(crowd[2])) == 5


@on_disk
def test_what_a_link_asks_for_after_a_post_to_many_is_done_after_it(bench: Bench, crowd: list[Sender]) -> None:
    told: list[Any] = []
    ann, bob = crowd[:2]
    bench.store.post("a link", Post(ann, to(bob), b"0"), lambda _: told.append("before"))
    to_all(bench, ann, lambda _: told.append("first"), "a link")
    to_all(bench, ann, lambda _: told.append("second"), "a link")
    bench.store._items.put(ServiceJob("a link", without_batch(lambda: len(waiting(bob))), told.append))
    bench.store.post("a link", Post(ann, to(bob), b"1"), lambda _: told.append("after"))
    bench.call(lambda: told.append("another's"), "another link")
    bench.work()
    assert told == ["another's", "before", "first", "second", 3, "after"]
    assert [head["data"] for head in waiting(bob)] == [b"0", b"large", b"large", b"1"]
    ids = [head["id"] for head in waiting(bob)]
    assert ids == sorted(ids)


@on_disk
def test_a_post_to_many_that_is_not_committed_to_the_end_is_not_there(
    bench: Bench, clock: list[float], commits: Commits, crowd: list[Sender]
) -> None:
    told: list[Any] = []
    to_all(bench, crowd[0], told.append, "a link")
    bench.store.post("a link", Post(crowd[0], to(crowd[1]), b"next"), told.append)
    full = (False, IntegrityError("the disk is full"))
    commits += [full, full, (True, None), (True, None)]  # type: ignore[list-item]
    bench.work()
    failed, number = told
    assert isinstance(failed, Unavailable)
    assert isinstance(number, int)
    assert ops(crowd[1]) == ["delivery"]
    assert list(Message.objects.values_list("pk", flat=True)) == [number]


@on_disk
@pytest.mark.parametrize("reaches", [False, True])
def test_a_step_whose_commit_fails_is_taken_once(
    bench: Bench, clock: list[float], commits: Commits, crowd: list[Sender], reaches: bool
) -> None:
    told: list[Any] = []
    to_all(bench, crowd[0], told.append, "a link")
    for _ in range(6):
        commits += [(True, None), (reaches, OperationalError("gone"))]  # type: ignore[list-item]
    bench.work()
    assert [type(number) for number in told] == [int]
    assert [ops(person) for person in crowd] == [["delivery"]] * 7


@on_disk
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL ends connections")
def test_a_connection_that_was_lost_outside_of_a_transaction_is_made_again() -> None:
    """As when the database goes away while messages are handed over, after the commit."""
    bench = Bench()
    bench.store._transactions.prepare()
    with connection.cursor() as cursor, contextlib.suppress(Error):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    bench.call(lambda: User.objects.create(uid="once").uid)
    assert bench.work() == ["once", []]


@on_disk
@pytest.mark.skipif(connection.vendor != "postgresql", reason="on SQLite, the driver keeps statements prepared")
def test_statements_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    close = connection.close
    monkeypatch.setattr(connection, "close", lambda: None)
    bench.post(someone(), someone())
    bench.work()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO tmtp_message %'")
        assert cursor.fetchone() == (1,)
    close()  # other tests have a connection as Django has set it up


@on_disk
def test_no_commit_over_a_connection_that_is_not_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the database was away when the store connected, and is back a moment later."""
    bench, durable = Bench(), []
    monkeypatch.setattr(transactions, "make_durable", lambda: durable.append(connection.connection))
    monkeypatch.setattr(transactions.Transactions, "prepare", lambda self, give_up=0.0: connection.close())
    bench.call(lambda: durable == [connection.connection])
    assert bench.work() == [True, []]
