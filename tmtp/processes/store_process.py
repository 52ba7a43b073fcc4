"""The process of the store: it commits what the processes of links submit, and passes messages on between them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ..engine.handover import HandOver
from ..engine.housekeeping import Housekeeping
from ..engine.polling import News, Poller
from ..services.errors import CodedError
from ..services.queue import queue, receipts
from ..services.queue.batch import Parcel
from ..store.store import Store, log_failure
from ..store.transactions import Unavailable
from . import wire
from .commands import BY_NAME, encoded

log = logging.getLogger("tmtp")
STATE = 1.0  # seconds between two times that processes of links are told how the store does
FEW = 16  # nodes of a message, which are not worth sorting by their processes


class LinkProcess:
    """A process of links, as the store's process sees it. It has ended when its socket has."""

    def __init__(self, service: StoreService, number: int) -> None:
        self._service = service
        self._number = number
        self._store = service.store
        self._poller = Poller()
        self.connection = wire.Connection(wire.FromLinks, self._received, self._end)
        self.put = self.connection.put
        self.nodes: set[int] = set()  # that are connected to it
        self.leases: set[int] = set()
        self._handlers: dict[type[wire.Item], Callable[[Any], object]] = {
            wire.NewPost: self._post,
            wire.Acknowledged: self._acknowledge,
            wire.Noted: self._note,
            wire.Run: self._run,
            wire.Read: self._read,
            wire.Look: self._look,
            wire.ReadMessages: self._read_messages,
            wire.Connected: self._connect,
            wire.Disconnected: self._disconnect,
            wire.TakeLease: lambda item: service.spawn(self._take_lease(item)),
            wire.EndLease: self._end_lease,
            wire.ShowFigures: self._show_figures,
            wire.Settled: lambda item: service.settled(self, item.batch),
        }

    async def connect(self, sock: socket.socket) -> None:
        """Begin to use the socket."""
        await asyncio.get_running_loop().connect_accepted_socket(lambda: self.connection, sock)

    # requests

    def _received(self, item: wire.Item) -> None:
        self._handlers[type(item)](item)

    def _post(self, item: wire.NewPost) -> None:
        self._store.post((self._number, item.link), item.post, partial(self._answer_post, item.job))

    def _acknowledge(self, item: wire.Acknowledged) -> None:
        self._store.acknowledge((item.node, item.rank, item.number))

    def _note(self, item: wire.Noted) -> None:
        self._store.note(item.note)

    def _run(self, item: wire.Run) -> None:
        command = BY_NAME[item.name]
        service = command.decode(item.arguments)
        if item.receipt:
            service = partial(receipts.once, *item.receipt, service)
        self._store.submit((self._number, item.link), service, partial(self._answer, item.job), item.savepoint)

    def _read(self, item: wire.Read) -> None:
        self._store.read(BY_NAME[item.name].decode(item.arguments), partial(self._answer, item.job))

    def _look(self, item: wire.Look) -> None:
        item.question.whoever_wrote = True  # marks that others set through this store would not be noticed
        look = partial(self._poller.look, item.lease, self.nodes, item.question)
        self._store.read(look, partial(self._answer_look, item.job))

    def _read_messages(self, item: wire.ReadMessages) -> None:
        read = partial(queue.read_messages, item.numbers, self.nodes)
        self._store.read_soon(read, partial(self._answer_messages, item.job))

    def _connect(self, item: wire.Connected) -> None:
        self.nodes.add(item.node)
        self._service.process_of[item.node] = self

    def _disconnect(self, item: wire.Disconnected) -> None:
        self._forget(item.node)

    async def _take_lease(self, item: wire.TakeLease) -> None:
        self.leases.discard(item.instead_of)
        try:
            lease = await self._store.take_lease(item.address, item.pid, item.instead_of)
        except Unavailable as error:
            self.put(wire.failed(item.job, error))
        else:
            self.leases.add(lease)
            self.put(wire.Number(item.job, lease))
            if self not in self._service.processes:  # it has ended meanwhile
                self._end_leases()

    def _end_lease(self, item: wire.EndLease) -> None:
        self.leases.discard(item.lease)
        self._store.end_lease(item.lease)

    def _show_figures(self, item: wire.ShowFigures) -> None:
        self._service.shows_figures = self

    # answers

    def _answer_post(self, job: int, result: int | Exception) -> None:
        self.put(wire.Number(job, result) if isinstance(result, int) else _failed(job, result))

    def _answer(self, job: int, result: object) -> None:
        self.put(_failed(job, result) if isinstance(result, Exception) else wire.Result(job, encoded(result)))

    def _answer_look(self, job: int, news: News | Unavailable) -> None:
        self.put(wire.failed(job, news) if isinstance(news, Unavailable) else wire.Looked(job, news))

    def _answer_messages(self, job: int, parcels: list[Parcel] | Unavailable) -> None:
        self.put(wire.failed(job, parcels) if isinstance(parcels, Unavailable) else wire.Messages(job, parcels))

    def _forget(self, node: int) -> None:
        self.nodes.discard(node)
        if self._service.process_of.get(node) is self:
            del self._service.process_of[node]

    def _end(self) -> None:
        """End the leases, after all that was submitted, so that the devices can log in elsewhere at once."""
        for node in list(self.nodes):
            self._forget(node)
        self._end_leases()
        self._service.processes.discard(self)
        self._service.settled(self)
        self._store.read(int, lambda _: self.connection.close())

    def _end_leases(self) -> None:
        while self.leases:
            self._store.end_lease(self.leases.pop())


class StoreService:
    """The store, and the processes that use it. `process_of` has the process that each node is connected to."""

    def __init__(self) -> None:
        self.process_of: dict[int, LinkProcess] = {}
        self.processes: set[LinkProcess] = set()
        self._started = 0
        self._batch = 0
        self._settling: set[LinkProcess] = set()  # those that have not dealt with the batch yet
        self._all_settled: Callable[[], None] = nothing
        self._told: tuple[int, list[int]] = 0, []
        self._handover = HandOver(lambda: self.process_of, lambda: self.store.leases)
        self.store = Store(asyncio.get_running_loop(), self._deliver, self._handover.send, self._settle)
        self._housekeeping = Housekeeping(self.store)
        self.shows_figures: LinkProcess | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the store and the recurring tasks. Raise Unavailable if the database is."""
        await self._housekeeping.start()
        self._handover.start()
        self.spawn(self._keep_telling())

    async def add(self, sock: socket.socket) -> None:
        """Serve a process of links at the other end of a socket."""
        self._started += 1
        process = LinkProcess(self, self._started)
        self.processes.add(process)
        await process.connect(sock)

    async def stop(self) -> None:
        """Commit all that was submitted."""
        self._housekeeping.stop()
        for task in self._tasks:
            task.cancel()
        await self.store.stop()
        await self._handover.stop()

    def spawn(self, work: Any) -> None:
        """Run a coroutine as a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _deliver(self, parcels: list[Parcel]) -> None:
        """Pass messages on to the processes of their nodes, after each batch."""
        for parcel in parcels:
            nodes_of: dict[LinkProcess, list[int]] = {}
            for node in parcel.nodes:
                process = self.process_of.get(node)
                if process is not None:
                    nodes_of.setdefault(process, []).append(node)
            for process, nodes in nodes_of.items():
                few = len(parcel.nodes) <= FEW
                process.put(wire.Deliver(parcel if few else msgspec.structs.replace(parcel, nodes=nodes)))
        state = self.store.failures, sorted(self.store.lost)
        if state != self._told:
            self._told = state
            for process in self.processes:
                process.put(wire.State(*state))

    def _settle(self, done: Callable[[], None]) -> None:
        """Call `done` when the processes that were told something of this batch have dealt with it."""
        self._batch += 1
        self._settling = {process for process in self.processes if process.connection.has_unsent}
        self._all_settled = done
        for process in self._settling:
            process.put(wire.EndOfBatch(self._batch))
        if not self._settling:
            done()

    def settled(self, process: LinkProcess, batch: int = 0) -> None:
        """Note that a process has dealt with a batch, or, without one, that it has ended."""
        if process in self._settling and batch in (0, self._batch):
            self._settling.discard(process)
            if not self._settling:
                self._all_settled()

    async def _keep_telling(self) -> None:
        """Show the processes of links that this one runs, and the one that shows figures those of the store."""
        while True:
            await asyncio.sleep(STATE)
            for process in self.processes:
                process.put(wire.State(*self._told))
            if self.shows_figures in self.processes:
                self.shows_figures.put(wire.StoreFigures(self.store.figures()))


def nothing() -> None:
    """Do nothing: no batch has been reported."""


def _failed(job: int, error: Exception) -> wire.Failed:
    """Return an error as an item. One that has no code is a bug: it is logged here."""
    if isinstance(error, CodedError) and type(error).__name__ in wire.ERRORS:
        return wire.failed(job, error)
    log_failure(error)
    return wire.failed(job, Unavailable("store_failed"))
