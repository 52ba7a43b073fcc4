"""The store of a process of links: it has the store's process do everything."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from ..conf import conf
from ..engine.polling import Poller
from ..services.messages.posts import Post
from ..services.people.actors import Sender
from ..services.queue import queue, receipts
from ..services.queue.batch import Service
from ..services.queue.reports import Note
from ..store.counters import StoreCounters
from ..store.interface import Deliver
from ..store.store import STOP_PATIENCE, log_failure, resolver, settle
from ..store.transactions import Entry, Unavailable, Uncertain
from . import wire
from .commands import Command, command_of

log = logging.getLogger("tmtp")
T = TypeVar("T")
Done = Callable[[Any], None]
TURN = 1.0  # seconds between two looks at whether the store's process still says something


class RemoteStore:
    """A store (`tmtp.store.interface.AnyStore`). `failed` is called when the store's process has ended.

    The store's process knows by `connected` which nodes a look is for.
    """

    def __init__(self, sock: socket.socket, failed: Callable[[], None], deliver: Deliver) -> None:
        self._socket = sock
        self._failed = failed
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Done] = {}  # what to call with the answers
        self._commands: dict[int, Command] = {}  # those that are answered with a result
        self._claims: dict[int, Done] = {}  # what to call with a result that comes too late
        self._silence = 0.0  # seconds in which the store's process has said nothing
        self._ended = self._loop.create_future()
        self._connection = wire.Connection(wire.FromStore, self._received, self._end)
        self._put = self._connection.put
        self._stopping = False
        self._shows_figures = False
        self._figures: dict[str, Any] = {**StoreCounters().figures(), "failed_batches": 0, "store_waiting": 0}
        self._figures_of = time.monotonic()  # when they arrived
        self.broken = False
        self.lease = 0
        self.lost: frozenset[int] = frozenset()
        self.failures = 0

    async def connect(self, *, show_figures: bool) -> None:
        """Begin to use the socket. One process of several shows the figures of the store, which all share."""
        await self._loop.connect_accepted_socket(lambda: self._connection, self._socket)
        self._loop.call_later(TURN, self._look)
        self._shows_figures = show_figures
        if show_figures:
            self._put(wire.ShowFigures())

    async def stop(self) -> None:
        """Wait until all that was submitted is committed, at most STOP_PATIENCE seconds."""
        self._stopping = True
        self._connection.finish()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended, STOP_PATIENCE)

    def end(self) -> None:
        """Do nothing: the loop has ended, and the store's process sees that this one ends."""

    # leases

    async def take_lease(self, address: str, pid: int = 0, instead_of: int = 0) -> int:
        future: asyncio.Future[int] = self._loop.create_future()
        self._put(wire.TakeLease(self._job(resolver(future)), address, pid, instead_of))
        self.lease = await future
        return self.lease

    def end_lease(self, lease: int) -> None:
        self.lease = 0
        self._put(wire.EndLease(lease))

    def connected(self, node: int) -> None:
        self._put(wire.Connected(node))

    def disconnected(self, node: int) -> None:
        self._put(wire.Disconnected(node))

    # jobs

    def post(self, link: Hashable, post: Post, done: Callable[[int | Exception], None]) -> None:
        sender = post.sender
        post.sender = Sender(sender.uid, sender.user, sender.node)  # without the privacy of LoggedIn
        self._put(wire.NewPost(self._job(done), hash(link), post))

    def acknowledge(self, entry: Entry) -> None:
        self._put(wire.Acknowledged(*entry))

    def note(self, note: Note) -> None:
        self._put(wire.Noted(note))

    def do(self, link: Hashable, service: Service[object], *, savepoint: bool = True) -> None:
        self._run(link, service, savepoint, log_failure)

    async def run(
        self,
        link: Hashable,
        service: Service[T],
        *,
        savepoint: bool = True,
        claimed: Callable[[T], None] | None = None,
    ) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        job = self._run(link, service, savepoint, resolver(future, claimed))
        if claimed:
            self._claims[job] = claimed
        return await future

    def read(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        look = getattr(function, "func", None)
        if getattr(look, "__func__", None) is Poller.look:
            lease, _connected, question = function.args  # type: ignore[attr-defined]
            self._put(wire.Look(self._job(done), lease, question))
            return
        command, arguments = command_of(function)
        self._put(wire.Read(self._job(done, command), command.name, arguments))

    def read_soon(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        assert isinstance(function, partial)
        assert function.func is queue.read_messages
        self._put(wire.ReadMessages(self._job(done), function.args[0]))

    def figures(self) -> dict[str, Any]:
        age = time.monotonic() - self._figures_of if self._shows_figures else 0.0
        return {**self._figures, "since_commit": round(self._figures["since_commit"] + age, 3)}

    def _run(self, link: Hashable, service: Service[Any], savepoint: bool, done: Done) -> int:
        receipt: tuple[int | None, bytes] | None = None
        if isinstance(service, partial) and service.func is receipts.once:
            node, digest, service = service.args
            receipt = node, digest
        command, arguments = command_of(service)
        job = self._job(done, command)
        self._put(wire.Run(job, hash(link), command.name, arguments, savepoint, receipt))
        return job

    def _job(self, done: Done, command: Command | None = None) -> int:
        job = next(self._numbers)
        self._jobs[job] = done
        if command:
            self._commands[job] = command
        return job

    # answers

    def _received(self, item: Any) -> None:
        self._silence = 0.0
        match item:
            case wire.Number():
                self._answer(item.job, item.number)
            case wire.Deliver():
                self._deliver([item.parcel])
            case wire.Result():
                self._answer_result(item)
            case wire.Looked():
                self._answer(item.job, item.news)
            case wire.Messages():
                self._answer(item.job, item.parcels)
            case wire.Failed():
                self._commands.pop(item.job, None)
                self._answer(item.job, wire.error_of(item))
            case wire.EndOfBatch():
                settle(partial(self._put, wire.Settled(item.batch)))
            case wire.State():
                self.failures, self.lost = item.failures, frozenset(item.lost)
            case wire.StoreFigures():
                self._figures, self._figures_of = item.values, time.monotonic()

    def _answer_result(self, item: wire.Result) -> None:
        command = self._commands.pop(item.job, None)
        if command:
            self._answer(item.job, command.result(item.value))

    def _answer(self, job: int, result: Any) -> None:
        """Call what waits for the result of a job, if it still does."""
        claimed = self._claims.pop(job, None)
        done = self._jobs.pop(job, None)
        if done:
            done(result)
        elif claimed and not isinstance(result, Exception):
            claimed(result)  # so a node whose login was given up is freed

    # the store's process says nothing

    def _look(self) -> None:
        """Give up what waits when the store's process, which says something each second, has not for too long.

        The time is counted in turns of this loop: while the machine or this process sleeps, nobody waits.
        """
        if self._ended.done():
            return
        self._silence += TURN
        beyond = self._silence - max(TURN, float(conf.STORE_PATIENCE))
        if 0 < beyond <= TURN:
            log.error("the store's process says nothing: requests that wait for it are given up")
        if beyond > 0:
            self._give_up()
        self._loop.call_later(TURN, self._look)

    def _give_up(self) -> None:
        """Answer all that waits. The store may have committed it, or may do so later."""
        jobs, self._jobs = self._jobs, {}
        self._commands = {job: command for job, command in self._commands.items() if job in self._claims}
        for done in jobs.values():
            done(Uncertain("store_uncertain"))

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        if not self._stopping:
            log.critical("the store's process has ended; this one ends, too")
            self.broken = True
            self._failed()
