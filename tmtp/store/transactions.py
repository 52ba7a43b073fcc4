"""The transaction of a batch, on the store's connection. It is tried again while the database is unavailable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Hashable
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple, TypeVar

from django.db import Error, connection, transaction

from ..services.errors import CodedError, Refused
from ..services.messages import posting
from ..services.messages.fanout import Fanout
from ..services.queue import leases, queue, reports
from ..services.queue.batch import Batch, Parcel
from ..services.queue.reports import Note
from ..services.storage import room
from .batching import Job, PostJob, ServiceJob, phases, put_off
from .counters import StoreCounters
from .durability import DatabaseFile, make_durable, make_transaction_durable, rewrite_log
from .failures import Failure, broke_a_write, failure_of
from .reserve import Reserve
from .waiting import Cutter
from .wal import Checkpoints

log = logging.getLogger("tmtp")
T = TypeVar("T")
Entry = tuple[int, int, int]  # an acknowledged entry: node id, rank, number
PAUSE = 0.05  # seconds between two attempts


class Unavailable(CodedError):
    """The database is unavailable, and nothing was done."""

    @property
    def may_wait(self) -> bool:
        """Return whether a request that has not waited for long may be tried again."""
        return type(self) is Unavailable and self.code == "store_unavailable"


class Uncertain(Unavailable):
    """The connection was lost during the commit, so the request may have been done. Sending it again tells."""


class LeaseLost(Unavailable):
    """Another process has ended `leases`, so nothing was done: the nodes of these servers may be elsewhere."""

    leases: frozenset[int] = frozenset()


class Committed(NamedTuple):
    """The result of a commit: messages to deliver, and spool files to remove."""

    parcels: list[Parcel]
    spools: list[str]


class Transactions:
    """The transactions of one store. Use them in one thread only, which has its own connection."""

    def __init__(
        self, checkpoints: Checkpoints, reserve: Reserve, file: DatabaseFile, counters: StoreCounters
    ) -> None:
        self._checkpoints = checkpoints
        self._reserve = reserve
        self._counters = counters
        self._file = file
        self.cutter = Cutter()
        self._durable: Any = None  # the connection that is set up
        self._is_pooled = False
        self._log_is_doubtful = True  # whether SQLite's log may have a hole on the disk: who wrote it may have crashed
        self._made_room = False  # whether the disk was full in this batch
        self._done: Committed | None = None
        self._batch = 0  # the number of the last batch, which its commit writes into the lease's row

    def prepare(self, give_up: float = 0.0) -> None:
        """Set this connection up for durable commits, whatever the site's own settings are. Replace one that was lost.

        Connecting may take until `give_up`, but two seconds at least.

        Django closes a connection that is lost in a transaction, but not one that is lost outside of any.
        """
        self._close_if_lost()
        with suppress(Error), self.cutter.until(give_up):
            self._set_up()

    def _close_if_lost(self) -> None:
        with self.cutter.until(0):
            if self.is_connected and not connection.is_usable():
                connection.close()

    def _set_up(self) -> None:
        """Set up a connection that is not yet: Django connects by itself, with commits that may not be durable."""
        if connection.connection is None:
            self._file.forget_log()
            self._file.check()  # SQLite would make a new one
        connection.ensure_connection()
        if connection.connection is not self._durable:
            with connection.wrap_database_errors:
                self._is_pooled = make_durable()
                self._checkpoints.raise_autocheckpoint()
                self._file.note()
            self._durable = connection.connection

    def commit(
        self, jobs: list[Job], acked: list[Entry | Note], renewed: Collection[int], give_up: float
    ) -> Committed:
        """Run jobs, write acknowledgements and renew leases, in one transaction. Set the jobs' results.

        Raise LeaseLost if a lease has been ended, Unavailable if the database is not available until `give_up`
        (time.monotonic()) or its disk takes no more, and Uncertain if its connection was lost during the commit.
        """
        self._batch += 1
        self._made_room = careful = False
        if not self.is_connected and time.monotonic() > give_up:
            raise Unavailable("store_unavailable")  # the last attempt to connect has used up the time
        while True:
            self._done = None
            try:
                with self.cutter.until(give_up):
                    return self._attempt(jobs, acked, renewed, careful)
            except LeaseLost:
                raise
            except Exception as error:
                if failure_of(error) is None:
                    if careful:
                        raise
                    log.exception("a batch failed; its jobs are run one by one")
                    careful = True
                elif self._done and self._was_committed(renewed, give_up):
                    return self._done
                else:
                    self._get_ready_again(error, give_up)

    def _attempt(
        self, jobs: list[Job], acked: list[Entry | Note], renewed: Collection[int], careful: bool
    ) -> Committed:
        """Run the transaction once. `_done` is what may be on disk if the commit fails."""
        self._set_up()
        self._check_log()
        begun = time.monotonic()
        with transaction.atomic():
            if self._is_pooled:
                make_transaction_durable()
            batch = Batch()
            spools = acknowledge(acked) if acked else []
            _run(jobs, batch, careful)
            self._renew(renewed)
            self._done = Committed(batch.parcels, spools)
            ready = time.monotonic()
        self._measure(begun, ready)
        return self._done

    def _measure(self, begun: float, ready: float) -> None:
        """Note how long a batch took, and its commit, which began when it was `ready`."""
        now = time.monotonic()
        self._counters.batch_seconds.add(now - begun)
        self._counters.commit_seconds.add(now - ready)

    def _get_ready_again(self, error: Exception, give_up: float) -> None:
        """Get ready for another attempt. Raise Unavailable if there is no use in one."""
        failure = failure_of(error)
        if failure is Failure.FULL and not self._made_room:
            self._make_room(error)
            return
        if failure is Failure.FULL or time.monotonic() > give_up:
            log.error("the database does not take messages: %s", error)
            if failure is Failure.FULL:
                raise Unavailable("disk_full") from error
            raise Unavailable("store_unavailable") from error
        time.sleep(PAUSE)
        if failure is Failure.READ_ONLY:
            connection.close()
        self.prepare(give_up)

    def _make_room(self, error: Exception) -> None:
        """Let posts be refused for a moment, so that what remains of the batch finds room, in the reserve at least."""
        log.error("the disk of the database takes no more messages: %s", error)
        self._made_room = True
        room.note_full()
        self._reserve.release()
        if broke_a_write(error):
            self._log_is_doubtful = True
            connection.close()
            self.prepare()

    def _check_log(self) -> None:
        """Raise OperationalError if the database's file is not there, or if its log has a hole that is not mended."""
        self._file.check()
        if self._log_is_doubtful:
            rewrite_log()
            self._log_is_doubtful = False

    def look_up(self, function: Callable[[], T], give_up: float) -> T:
        """Return the result of a query. Raise Unavailable if the database is away until `give_up`."""
        while True:
            try:
                with self.cutter.until(give_up):
                    self._file.check()
                    return function()
            except Error as error:
                if failure_of(error) is None:
                    raise
                self._close_if_lost()
                if time.monotonic() > give_up:
                    log.error("the database could not be read: %s", error)
                    raise Unavailable("store_unavailable") from error
                time.sleep(PAUSE)
                self.prepare(give_up)

    @property
    def is_connected(self) -> bool:
        """Return whether there is a connection, which may have been lost since it was used."""
        return connection.connection is not None

    def _renew(self, renewed: Collection[int]) -> None:
        lost = leases.renew(renewed, self._batch) if renewed else set()
        if lost:
            error = LeaseLost("store_unavailable")
            error.leases = frozenset(lost)
            raise error

    def _was_committed(self, renewed: Collection[int], give_up: float) -> bool:
        """Reconnect, and return whether the last batch was committed in spite of the error. Raise Uncertain."""
        while True:
            try:
                with self.cutter.until(give_up):
                    connection.close_if_unusable_or_obsolete()
                    self.prepare(give_up)
                    return leases.committed(min(renewed, default=0)) == self._batch
            except Error as error:
                if time.monotonic() > give_up:
                    log.error("the database was lost as it committed: %s", error)
                    raise Uncertain("store_uncertain") from error
                time.sleep(PAUSE)


def _run(jobs: list[Job], batch: Batch, careful: bool) -> None:
    begun: set[Hashable] = set()  # links with a post to many that is not finished in this batch
    for posts, calls in phases(jobs):
        posts = put_off(posts, begun)
        _run_posts(posts, batch, careful)
        begun |= {job.link for job in posts if isinstance(job.result, Fanout)}
        for job in put_off(calls, begun):
            _run_job(job, batch, careful)


def _run_posts(jobs: list[PostJob], batch: Batch, careful: bool) -> None:
    if careful:
        for job in jobs:
            _run_job(job, batch, careful)
    elif jobs:
        results = posting.post([job.post for job in jobs], batch=batch)
        for job, result in zip(jobs, results, strict=True):
            job.result = result


def _run_job(job: Job, batch: Batch, careful: bool) -> None:
    """Run a job in a savepoint, so that an error undoes only this job. The error becomes its result.

    A job that needs no savepoint gets none, unless `careful` is set. If it raises anything but Refused, the whole
    batch is undone and run again with `careful`.
    """
    guarded = careful or job.savepoint
    try:
        with transaction.atomic() if guarded else nullcontext():
            match job:
                case ServiceJob():
                    job.result = job.service(batch=batch)
                case PostJob(fanout=None):
                    (job.result,) = posting.post([job.post], batch=batch)
                case PostJob(fanout=Fanout() as fanout):
                    job.result = fanout.step(batch=batch)
    except Exception as error:
        if failure_of(error) or (not guarded and not isinstance(error, Refused)):
            raise
        job.result = error


def acknowledge(acked: list[Entry | Note]) -> list[str]:
    """Delete entries, and write notes into the reports. Return the names of spool files to remove."""
    notes = [item for item in acked if isinstance(item, Note)]
    if notes:
        reports.note(notes)
    entries = [item for item in acked if not isinstance(item, Note)]
    return queue.acknowledge(entries) if entries else []
