"""The store: the only writer of this process, a thread with its own connection, which commits jobs in batches.

The event loop submits jobs. The thread takes all jobs that have arrived meanwhile, runs them in ONE transaction and
commits it durably. Only then does it report the whole batch to the loop, in one call. So nothing is acknowledged
before it is on disk, and all jobs of a batch share the cost of its commit (docs/decisions/0001-group-commit.md).

A batch begins when the loop has dealt with the last one. Otherwise the thread would take the interpreter's lock from
the loop in the middle of that, for a smaller batch.

Jobs of one link take effect in the order in which they were submitted. Posts of all links are queued together. A post
to many takes several batches, so that other jobs need not wait for all of it (docs/decisions/0011-fan-out.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, Literal, TypeVar

from django.db import connection

from ..conf import conf
from ..services.errors import Refused
from ..services.messages.posts import Post
from ..services.queue import leases
from ..services.queue.batch import Parcel, Service, without_batch
from ..services.queue.reports import Note
from ..services.storage.spool import discard, discard_soon
from .batching import Job, Order, PostJob, ServiceJob, fail_overdue
from .counters import StoreCounters
from .durability import DatabaseFile
from .reserve import Reserve
from .transactions import Committed, Entry, LeaseLost, Transactions, Unavailable, Uncertain
from .wal import Checkpoints

log = logging.getLogger("tmtp")
T = TypeVar("T")
BATCH_MAX = 1000
SETTLE_TURNS = 4  # of the loop, between the report of a batch and the next batch
SETTLE_PATIENCE = 0.02  # seconds that they may take
STOP_PATIENCE = 1.5


@dataclass(slots=True, eq=False)
class Read(Generic[T]):
    """A query to run after the batch has committed."""

    function: Callable[[], T]
    done: Callable[[T | Unavailable], None]
    since: float = field(default_factory=time.monotonic)


SOON: Final = "soon"  # an item that wakes the thread
Item = Job | Read[Any] | Entry | Note | Literal["soon"]


class Store:
    """The store. `deliver` is called in the event loop with the messages of each batch after its commit.

    `settle_with` is then called with a function to call when links have dealt with the batch: the next one can begin.
    `hand_over` is called in the store's thread with these messages, before the batch is reported.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[list[Parcel]], None],
        hand_over: Callable[[list[Parcel]], None] | None = None,
        settle_with: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._hand_over = hand_over
        self._settle = settle_with or settle
        self._items: SimpleQueue[Item | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work_or_end, name="tmtp-store", daemon=True)
        self.broken = False  # whether a bug has ended the thread
        self.leases: frozenset[int] = frozenset()  # which each batch renews
        self.lost: frozenset[int] = frozenset()  # those of them that another process has ended
        self.failures = 0  # batches that were not committed
        self._reported = 0  # of them, those before the last batch that was
        self.counters = StoreCounters()
        self._order = Order()
        self._settled = threading.Event()  # whether the loop has dealt with the last report
        self._settled.set()
        reserve, file = Reserve(), DatabaseFile()
        self._checkpoints = Checkpoints(reserve, file)
        self._transactions = Transactions(self._checkpoints, reserve, file, self.counters)
        self._reads: list[Read[Any]] = []
        self._soon: deque[Read[Any]] = deque()  # those that are run before the next batch
        self._worked = 0.0  # the time.monotonic() at which the database did its work last
        self._overdue: list[Entry | Note] = []  # acknowledgements of batches that were not committed

    def start(self) -> None:
        """Start the thread."""
        self._checkpoints.start()
        self._thread.start()

    async def stop(self) -> None:
        """Commit all that was submitted, and end the thread. Wait at most STOP_PATIENCE seconds for the database."""
        self._items.put(None)
        last = time.monotonic() + STOP_PATIENCE
        while self._thread.is_alive() and time.monotonic() < last:
            await asyncio.sleep(0.01)

    def end(self) -> None:
        """Do the same as `stop`, in a process whose event loop has ended."""
        self._items.put(None)
        self._thread.join(STOP_PATIENCE)

    def post(self, link: Hashable, post: Post, done: Callable[[int | Exception], None]) -> None:
        """Queue a post. `done` is called with its number, Refused or Unavailable."""
        self._items.put(PostJob(link, post, done))

    def acknowledge(self, entry: Entry) -> None:
        """Delete the entry of a message that a node has acknowledged, with the next batch."""
        self._items.put(entry)

    def note(self, note: Note) -> None:
        """Update the report of a tracked message, with the next batch."""
        self._items.put(note)

    def do(self, link: Hashable, service: Service[object], *, savepoint: bool = True) -> None:
        """Run a service in a batch's transaction. A failure is only logged."""
        self.submit(link, service, log_failure, savepoint)

    def submit(
        self, link: Hashable, service: Service[T], done: Callable[[T | Exception], None], savepoint: bool
    ) -> None:
        """Run a service in a batch's transaction. `done` is called with what it returned, or with the error."""
        self._items.put(ServiceJob(link, service, done, savepoint))

    async def run(
        self,
        link: Hashable,
        service: Service[T],
        *,
        savepoint: bool = True,
        claimed: Callable[[T], None] | None = None,
    ) -> T:
        """Run a service in a batch's transaction, and wait for the commit. Return its result, or raise its error.

        `claimed` is called with the result first, even if the caller has been cancelled meanwhile. Raise Unavailable
        if the batch cannot be committed.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self.submit(link, service, resolver(future, claimed), savepoint)
        return await future

    def figures(self) -> dict[str, Any]:
        """Return what the store has counted and measured, for JSON."""
        return {
            **self.counters.figures(),
            "failed_batches": self.failures,
            "store_waiting": self._items.qsize(),
        }

    @property
    def lease(self) -> int:
        """The lease that was taken last, 0 if there is none."""
        return max(self.leases, default=0)

    async def take_lease(self, address: str, pid: int = 0, instead_of: int = 0) -> int:
        """Take a lease for a process that listens at `address`, instead of one that was lost. Raise Unavailable.

        Until the lease is ended or lost, each batch renews it.
        """
        self._forget(instead_of)
        lease = await self.run(None, without_batch(leases.take, address, pid))
        self.leases |= {lease.pk}
        return lease.pk

    def end_lease(self, lease: int) -> None:
        """End a lease: its process ends."""
        self._forget(lease)  # the batch that ends a lease cannot renew it
        self.do(None, without_batch(leases.release, lease))

    def _forget(self, lease: int) -> None:
        self.leases -= {lease}
        self.lost -= {lease}

    def connected(self, node: int) -> None:
        """Note that messages for a node can be delivered from now on. Call it before its queue is read."""

    def disconnected(self, node: int) -> None:
        """Note that no more messages for a node can be delivered."""

    def read(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        """Run a query after all that was submitted before has been committed.

        `done` is called with its result, or with Unavailable.
        """
        self._items.put(Read(function, done))

    def read_soon(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        """Run a query before the next batch. It may not see what was submitted before (`engine.recent_acks`).

        `done` is called with its result, or with Unavailable.
        """
        self._soon.append(Read(function, done))
        self._items.put(SOON)

    # The following methods run in the thread.

    def _work_or_end(self) -> None:
        """Run `_work`. After an unexpected error, end the process, which cannot store anything any more."""
        try:
            self._transactions.cutter.start()
            self._work()
        except BaseException:
            log.critical("the store has failed; the process ends", exc_info=True)
            self.broken = True
            connection.close()
            os.kill(os.getpid(), signal.SIGTERM)

    def _work(self) -> None:
        self._transactions.prepare()
        for batch in self._batches():
            self._read_soon()
            jobs = self._order.admit([item for item in batch if isinstance(item, (PostJob, ServiceJob))])
            acked = [item for item in batch if isinstance(item, tuple)]
            if jobs or acked:
                self._commit(jobs, acked)
                self._checkpoints.note()
                self._read_soon()
            self._reads += [item for item in batch if isinstance(item, Read)]
            if not self._overdue:  # otherwise the queries would find messages that are acknowledged
                reads, self._reads = self._reads, []
                self._read_all(reads)
        self._checkpoints.stop()
        self._transactions.cutter.stop()
        connection.close()

    def _batches(self) -> Iterator[list[Item | None]]:
        """Yield batches of all items that wait, until None has been submitted and no job is unfinished."""
        ended = False
        while not ended or self._order:
            batch = [] if self._order else [self._items.get()]
            self._settled.wait(SETTLE_PATIENCE)
            with suppress(Empty):
                while len(batch) < BATCH_MAX:
                    batch.append(self._items.get_nowait())
            ended = ended or None in batch
            yield batch

    def _commit(self, jobs: list[Job], acked: list[Entry | Note]) -> None:
        acked = self._overdue + acked
        patience = float(conf.STORE_PATIENCE)
        asked = min((job.since for job in jobs), default=time.monotonic())
        give_up = max(asked, self._worked) + patience  # what waits while others are served does not count
        try:
            done = self._transactions.commit(jobs, acked, self.leases, give_up)
            self._overdue = []
            self._worked = time.monotonic()
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("a batch failed")
                error = Unavailable("store_failed")
            if isinstance(error, LeaseLost):
                self.lost |= error.leases
            self._overdue = acked
            self.failures += 1
            done = Committed([], [])
            # Who has asked later may wait for longer, unless the disk is full, or the batch may be on disk.
            fail_overdue(jobs, error, patience if error.may_wait else 0)
        else:
            if self.failures != self._reported:
                log.warning(
                    "messages are stored again, after %d batches that were not", self.failures - self._reported
                )
                self._reported = self.failures
            self.counters.add(jobs, acked, done.parcels)
        jobs = self._order.settle(jobs)
        if self._hand_over and done.parcels:
            with self._transactions.cutter.until(give_up):
                self._hand_over(done.parcels)
        self._settled.clear()
        self._tell(self._report, jobs, done.parcels)
        discard_soon(done.spools)
        for job in jobs:
            if type(job.result) is not int:
                discard_failed(job)

    def _read_soon(self) -> None:
        if self._soon:
            reads = [self._soon.popleft() for _ in range(len(self._soon))]
            self._read_all(reads)

    def _read_all(self, reads: list[Read[Any]]) -> None:
        """Run queries. While the database is away, those that have waited for too long are not tried again."""
        away: Unavailable | None = None
        for read in reads:
            give_up = max(read.since, self._worked) + float(conf.STORE_PATIENCE)
            if away is None or time.monotonic() < give_up or self._transactions.is_connected:
                away = self._read(read, give_up)
            else:
                self._tell(read.done, away)

    def _read(self, read: Read[Any], give_up: float) -> Unavailable | None:
        """Run a query. Return the error if the database is away."""
        try:
            self._tell(read.done, self._transactions.look_up(read.function, give_up))
        except Unavailable as error:
            self._tell(read.done, error)
            return error
        except Exception as error:
            log.exception("a read failed")
            self._tell(read.done, Unavailable("database_error", reason=str(error)))
        return None

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the event loop. Do nothing if the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    # The following method runs in the event loop.

    def _report(self, jobs: list[Job], parcels: list[Parcel]) -> None:
        for job in jobs:
            try:
                job.report()
            except Exception:
                log.exception("a result could not be reported to its link")
        self._deliver(parcels)
        self._settle(self._settled.set)


def settle(done: Callable[[], None], turns: int = SETTLE_TURNS) -> None:
    """Call `done` after some turns of the loop, which sends what was reported, and reads answers."""
    if turns:
        asyncio.get_running_loop().call_soon(settle, done, turns - 1)
    else:
        done()


def discard_failed(job: Job) -> None:
    """Remove the spool files of a post that failed. `posting` removes those of a refused post."""
    match job:
        case PostJob(result=Refused() | Uncertain()):
            pass
        case PostJob(result=Exception()):
            discard(job.post.spool_names)


def log_failure(result: object) -> None:
    """Log the result if it is an error."""
    if isinstance(result, Exception):
        log.error("not done: %r", result)


def resolver(future: asyncio.Future[T], claimed: Callable[[T], None] | None = None) -> Callable[[T | Exception], None]:
    """Return a function that calls `claimed` with a result, and then completes the future with it or with an error."""

    def resolve(result: T | Exception) -> None:
        if claimed and not isinstance(result, Exception):
            claimed(result)
        if future.cancelled():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    return resolve
