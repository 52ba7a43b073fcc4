"""The transaction of a batch, on the store's connection. It is tried again while the database is unavailable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Hashable
from contextlib import nullcontext, suppress
from typing import NamedTuple, TypeVar

from django.db import Error, InterfaceError, OperationalError, connection, transaction

from ..conf import conf
from ..services.errors import CodedError, Refused
from ..services.messages import posting
from ..services.messages.fanout import Fanout
from ..services.queue import leases, queue, reports
from ..services.queue.batch import Batch, Parcel
from ..services.queue.reports import Note
from .batching import Job, PostJob, ServiceJob, phases, put_off
from .counters import StoreCounters
from .durability import DatabaseFile, make_durable, make_transaction_durable
from .wal import Checkpoints

log = logging.getLogger("tmtp")
T = TypeVar("T")
Entry = tuple[int, int, int]  # an acknowledged entry: node id, rank, number


class Unavailable(CodedError):
    """The database is unavailable, and nothing was done."""


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

    def __init__(self, checkpoints: Checkpoints, counters: StoreCounters) -> None:
        self._checkpoints = checkpoints
        self._counters = counters
        self._file = DatabaseFile()
        self._is_pooled = False
        self._batch = 0  # the number of the last batch, which its commit writes into the lease's row

    def prepare(self) -> None:
        """Set this connection up for durable commits, whatever the site's own settings are. Replace one that was lost.

        Django closes a connection that is lost in a transaction, but not one that is lost outside of any.
        """
        with suppress(Error), connection.wrap_database_errors:
            if connection.connection is not None and not connection.is_usable():
                connection.close()
            connection.ensure_connection()
            self._is_pooled = make_durable()
            self._checkpoints.raise_autocheckpoint()
            self._file.note()

    def commit(self, jobs: list[Job], acked: list[Entry | Note], renewed: Collection[int]) -> Committed:
        """Run jobs, write acknowledgements and renew leases, in one transaction. Set the jobs' results.

        Raise LeaseLost if a lease has been ended, Unavailable if the database is not available for
        TMTP["STORE_PATIENCE"] seconds, and Uncertain if its connection was lost during the commit.
        """
        self._batch += 1
        give_up = time.monotonic() + conf.STORE_PATIENCE
        pause = 0.02
        careful = False
        done: Committed | None = None  # what may be on disk
        while True:
            try:
                self._file.check()
                begun = time.monotonic()
                with transaction.atomic():
                    if self._is_pooled:
                        make_transaction_durable()
                    batch = Batch()
                    spools = acknowledge(acked) if acked else []
                    _run(jobs, batch, careful)
                    self._renew(renewed)
                    done = Committed(batch.parcels, spools)
                    ready = time.monotonic()
                self._measure(begun, ready)
                return done
            except LeaseLost:
                raise
            except (OperationalError, InterfaceError) as error:
                if done and self._was_committed(renewed, give_up):
                    return done
                done = None
                if time.monotonic() > give_up:
                    log.error("the database does not take messages: %s", error)
                    raise Unavailable("store_unavailable") from error
                time.sleep(pause)
                pause = min(2 * pause, 1.0)
                self.prepare()
            except Exception:
                if careful:
                    raise
                log.exception("a batch failed; its jobs are run one by one")
                careful = True

    def _measure(self, begun: float, ready: float) -> None:
        """Note how long a batch took, and its commit, which began when it was `ready`."""
        now = time.monotonic()
        self._counters.batch_seconds.add(now - begun)
        self._counters.commit_seconds.add(now - ready)

    def look_up(self, function: Callable[[], T]) -> T:
        """Return the result of a query. Try again while the database is unavailable, then raise Unavailable."""
        give_up = time.monotonic() + conf.STORE_PATIENCE
        while True:
            try:
                return function()
            except (OperationalError, InterfaceError) as error:
                connection.close()
                if time.monotonic() > give_up:
                    log.error("the database could not be read: %s", error)
                    raise Unavailable("database_error", reason=str(error)) from error
                time.sleep(0.1)
                self.prepare()

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
                connection.close_if_unusable_or_obsolete()
                self.prepare()
                return leases.committed(min(renewed, default=0)) == self._batch
            except Error as error:
                if time.monotonic() > give_up:
                    log.error("the database was lost as it committed: %s", error)
                    raise Uncertain("store_uncertain") from error
                time.sleep(0.1)


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
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if not guarded and not isinstance(error, Refused):
            raise
        job.result = error


def acknowledge(acked: list[Entry | Note]) -> list[str]:
    """Delete entries, and write notes into the reports. Return the names of spool files to remove."""
    notes = [item for item in acked if isinstance(item, Note)]
    if notes:
        reports.note(notes)
    entries = [item for item in acked if not isinstance(item, Note)]
    return queue.acknowledge(entries) if entries else []
