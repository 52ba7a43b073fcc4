"""The one writer of this process: a thread with a connection of its own, which commits all that waits at once.

The loop hands in jobs; the thread takes whatever has come meanwhile, runs it in ONE transaction, commits it with
full durability, and only then reports the whole batch back to the loop, in one call. So nothing is acknowledged that
is not on disk, and the price of a commit is shared by everyone who waits for it (docs/decisions/0001-group-commit.md).

Jobs of one link take effect in the order they were handed in; posts of all links go together. A post to many takes
several batches, so that others need not wait for all of it (docs/decisions/0011-fan-out.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.db import Error, InterfaceError, OperationalError, connection, transaction

from ..conf import conf
from ..services.errors import CodedError, Refused
from ..services.messages import posting
from ..services.messages.fanout import Fanout
from ..services.queue import leases, queue, reports
from ..services.queue.batch import Batch, Parcel, Service
from ..services.queue.reports import Note
from ..services.storage.spool import discard
from .batching import Job, Order, phases, put_off
from .durability import DatabaseFile, make_durable
from .wal import Checkpoints

log = logging.getLogger("tmtp")
T = TypeVar("T")
BATCH_MAX = 1000
STOP_PATIENCE = 1.5


class Unavailable(CodedError):
    """The database did not take it; nothing was done."""


class Uncertain(Unavailable):
    """The database was lost while it committed: it may have been done. Asking again, with the same id, tells."""


@dataclass(slots=True, eq=False)
class Read:
    """Something to look up after the batch has committed."""

    function: Callable[[], Any]
    done: Callable[[Any], None]


Entry = tuple[int, int, int]  # node id, rank, number: an entry acknowledged


class Store:
    """The writer. `deliver` gets, in the loop, the parcels of each batch that has been committed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[Parcel]], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._jobs: SimpleQueue[Job | Read | Entry | Note | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work_or_end, name="tmtp-store", daemon=True)
        self.broken = False  # by a fault of its own; it takes nothing any more
        self.lease = 0  # the server's; batches are noted there
        self.lease_lost = False  # another process thought this one dead
        self.failures = 0  # batches that the database did not take
        self._order = Order()
        self._checkpoints = Checkpoints()
        self._batch = 0
        self._reads: list[Read] = []
        self._file = DatabaseFile()
        self._overdue: list[Entry | Note] = []  # acknowledged, but their delete did not commit yet

    def start(self) -> None:
        """Begin to work."""
        self._checkpoints.start()
        self._thread.start()

    async def stop(self) -> None:
        """Commit what was handed in, then end; a database that is away is not waited for long."""
        self._jobs.put(None)
        last = time.monotonic() + STOP_PATIENCE
        while self._thread.is_alive() and time.monotonic() < last:
            await asyncio.sleep(0.01)

    def end(self) -> None:
        """The same for a process whose loop has ended."""
        self._jobs.put(None)
        self._thread.join(STOP_PATIENCE)

    def post(self, link: Hashable, post: posting.Post, done: Callable[[Any], None]) -> None:
        """Queue a post. `done` gets its number, Refused or Unavailable."""
        self._jobs.put(Job(link, done, post=post))

    def acknowledge(self, entry: Entry) -> None:
        """A node has stored a message; its entry goes with the next batch."""
        self._jobs.put(entry)

    def note(self, note: Note) -> None:
        """Something happened to a tracked message; its report says so with the next batch."""
        self._jobs.put(note)

    def do(self, link: Hashable, service: Service[Any], *, savepoint: bool = True) -> None:
        """Run a service in a batch's transaction; what becomes of it is only logged."""
        self._jobs.put(Job(link, log_failure, service=service, savepoint=savepoint))

    async def run(self, link: Hashable, service: Service[T], *, savepoint: bool = True) -> T:
        """Run a service in a batch's transaction. Return its result, or raise what it raised, once that is on disk.

        Raise Unavailable when the database does not take it.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(Job(link, _resolver(future), service=service, savepoint=savepoint))
        return await future

    def read(self, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Look something up, after all that was handed in before has been committed. `done` gets what it gives."""
        self._jobs.put(Read(function, done))

    # what follows runs in the thread

    def _work_or_end(self) -> None:
        """A service that cannot store must not go on as if it could: what watches over it starts it again."""
        try:
            self._work()
        except BaseException:
            log.critical("the store has failed; the process ends", exc_info=True)
            self.broken = True
            connection.close()
            os.kill(os.getpid(), signal.SIGTERM)

    def _work(self) -> None:
        self._prepare()
        for batch in self._batches():
            jobs = self._order.admit([item for item in batch if type(item) is Job])
            acked = [item for item in batch if isinstance(item, tuple)]
            if jobs or acked:
                self._commit(jobs, acked)
                self._checkpoints.note()
            self._reads += [item for item in batch if type(item) is Read]
            if not self._overdue:  # else what was acknowledged would be found once more
                reads, self._reads = self._reads, []
                for read in reads:
                    self._read(read)
        self._checkpoints.stop()
        connection.close()

    def _batches(self) -> Iterator[list[Any]]:
        """All that waits, again and again, until None has come and nothing is unfinished."""
        ended = False
        while not ended or self._order:
            batch: list[Any] = [] if self._order else [self._jobs.get()]
            with suppress(Empty):
                while len(batch) < BATCH_MAX:
                    batch.append(self._jobs.get_nowait())
            ended = ended or None in batch
            yield batch

    def _prepare(self) -> None:
        """Full durability on this connection, whatever the site's own ones have."""
        with suppress(Error), connection.wrap_database_errors:
            connection.ensure_connection()
            make_durable()
            self._checkpoints.relieve()
            self._file.note()

    def _commit(self, jobs: list[Job], acked: list[Entry | Note]) -> None:
        acked = self._overdue + acked
        self._batch += 1
        try:
            parcels, spools = self._persist(jobs, acked)
            self._overdue = []
        except Exception as error:
            if not isinstance(error, Unavailable):
                log.exception("a batch failed")
                error = Unavailable("store_failed")
            self._overdue = acked
            self.failures += 1
            parcels, spools = [], []
            for job in jobs:
                job.result = error
        jobs = self._order.settle(jobs)
        self._tell(self._report, jobs, parcels)
        discard(spools)
        for job in jobs:
            discard_failed(job)

    def _persist(self, jobs: list[Job], acked: list[Entry | Note]) -> tuple[list[Parcel], list[str]]:
        """One transaction, tried again while the database is away; gives the parcels and the spool files to remove.

        Raises Unavailable when it stays away, Uncertain when it went as the transaction was to commit.
        """
        give_up = time.monotonic() + conf.STORE_PATIENCE
        pause = 0.02
        careful = False
        done: tuple[list[Parcel], list[str]] | None = None  # what may be on disk
        while True:
            try:
                self._file.check()
                with transaction.atomic():
                    batch = Batch()
                    spools = acknowledge(acked) if acked else []
                    self._run(jobs, batch, careful)
                    done = batch.parcels, spools
                    renewed = leases.renew(self.lease, self._batch)
                self.lease_lost = bool(self.lease and not renewed)
                return done
            except (OperationalError, InterfaceError) as error:
                if done and self._was_committed(give_up):
                    return done
                done = None
                if time.monotonic() > give_up:
                    log.error("the database does not take messages: %s", error)
                    raise Unavailable("store_unavailable") from error
                time.sleep(pause)
                pause = min(2 * pause, 1)
                self._prepare()
            except Exception:
                if careful:
                    raise
                log.exception("a batch failed; its jobs are run one by one")
                careful = True

    def _was_committed(self, give_up: float) -> bool:
        """Whether this batch is on disk although its commit failed. Reconnects; raises Uncertain when it cannot."""
        while True:
            try:
                connection.close_if_unusable_or_obsolete()
                self._prepare()
                return leases.committed(self.lease) == self._batch
            except Error as error:
                if time.monotonic() > give_up:
                    log.error("the database was lost as it committed: %s", error)
                    raise Uncertain("store_uncertain") from error
                time.sleep(0.1)

    def _run(self, jobs: list[Job], batch: Batch, careful: bool) -> None:
        begun: set[Hashable] = set()  # links with a post that takes more than this batch
        for posts, calls in phases(jobs):
            posts = put_off(posts, begun)
            self._run_posts(posts, batch, careful)
            begun |= {job.link for job in posts if isinstance(job.result, Fanout)}
            for job in put_off(calls, begun):
                run_call(job, batch, careful=careful)

    def _run_posts(self, jobs: list[Job], batch: Batch, careful: bool) -> None:
        if careful:
            for job in jobs:
                run_call(job, batch, careful=True)
        elif jobs:
            results = posting.post([job.post for job in jobs if job.post], batch=batch)
            for job, result in zip(jobs, results, strict=True):
                job.result = result

    def _read(self, read: Read) -> None:
        try:
            result = self._look_up(read.function)
        except Exception as error:
            if not isinstance(error, OperationalError | InterfaceError):
                log.exception("a read failed")
            result = Unavailable("database_error", reason=str(error))
        self._tell(read.done, result)

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop; when that is closed there is nobody left to tell."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _look_up(self, function: Callable[[], Any]) -> Any:
        """What a function reads, tried again while the database is away."""
        give_up = time.monotonic() + conf.STORE_PATIENCE
        while True:
            try:
                return function()
            except (OperationalError, InterfaceError) as error:
                connection.close()
                if time.monotonic() > give_up:
                    log.error("the database could not be read: %s", error)
                    raise
                time.sleep(0.1)
                self._prepare()

    # what follows runs in the loop

    def _report(self, jobs: list[Job], parcels: list[Parcel]) -> None:
        for job in jobs:
            try:
                job.done(job.result)
            except Exception:
                log.exception("a link could not be told")  # the others still can
        self._deliver(parcels)


def acknowledge(acked: list[Entry | Note]) -> list[str]:
    """Delete entries, and note what happened to tracked messages; gives the spool files to remove."""
    notes = [item for item in acked if type(item) is Note]
    if notes:
        reports.note(notes)
        acked = [item for item in acked if type(item) is not Note]
    return queue.acknowledge(acked) if acked else []


def run_call(job: Job, batch: Batch, *, careful: bool) -> None:
    """Run a job in a savepoint, so that what it raises undoes only itself; what it raises is its result then.

    Without a savepoint, if the job does not ask for one, anything but a refusal undoes the batch, which is then run
    again, carefully.
    """
    guarded = careful or job.savepoint
    try:
        with transaction.atomic() if guarded else nullcontext():
            if job.service:
                job.result = job.service(batch=batch)
            elif job.post:
                (job.result,) = posting.post([job.post], batch=batch)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if not guarded and not isinstance(error, Refused):
            raise
        job.result = error


def discard_failed(job: Job) -> None:
    """Remove the spool files of a post that failed. One that was refused has had them removed, see posting."""
    if job.post and isinstance(job.result, Exception) and not isinstance(job.result, Refused | Uncertain):
        discard(posting.spool_names(job.post))


def log_failure(result: Any) -> None:
    """Note what should not have failed."""
    if isinstance(result, Exception):
        log.error("not done: %r", result)


def _resolver(future: asyncio.Future[T]) -> Callable[[Any], None]:
    def resolve(result: Any) -> None:
        if future.cancelled():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    return resolve
