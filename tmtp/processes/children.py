"""What the processes do: one alone, or several that a supervisor has started."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from functools import partial

from ..engine.engine import Engine
from ..store.interface import Deliver
from ..store.transactions import Unavailable
from .control import DRAIN, LINKS, STOP, Control
from .remote_store import RemoteStore
from .serving import Ending, Setup, serve
from .store_process import StoreService
from .succession import Succession, after_hang_up

log = logging.getLogger("tmtp")
LINKS_PATIENCE = 5.0  # seconds for processes of links to end, before the store does


class LoopOfAsyncio:
    """The event loop of a process, for `Succession`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def watch(self, sock: socket.socket | int, act: Callable[[], None]) -> None:
        self._loop.add_reader(sock, act)

    def unwatch(self, sock: socket.socket | int) -> None:
        self._loop.remove_reader(sock)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self._loop.call_later(seconds, act)


def on_signals(stop: Callable[[], None]) -> None:
    """Call a function on SIGINT and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def serve_alone(setup: Setup, ready: Callable[[], None]) -> bool:
    """Serve links and write to the database in one process. Return False if the store has failed."""
    ending = Ending()
    engine = Engine(setup.address)
    succession = Succession(setup, LoopOfAsyncio(), ending.drain)

    def stop() -> None:
        succession.end()
        ending.stop()

    def serving() -> None:
        succession.listen()
        ready()

    on_signals(stop)
    hang_up = partial(after_hang_up, succession.begin, stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
    await serve(setup, engine, serving, ending)
    return not engine.store.broken


async def run_links(setup: Setup, number: int, store: socket.socket, control: socket.socket) -> int:
    """Serve links, with the store at the other end of a socket. Return the exit code.

    The first process has the side port.
    """
    ending = Ending()
    on_signals(ending.stop)
    controlled = Control(control, lambda octet, _: ending.drain() if octet == DRAIN else ending.stop())
    remote: list[RemoteStore] = []

    def remote_store(deliver: Deliver) -> RemoteStore:
        remote.append(RemoteStore(store, ending.stop, deliver))
        return remote[0]

    engine = Engine(setup.address, remote_store)
    await remote[0].connect(show_figures=number == 0)
    try:
        await serve(setup, engine, controlled.ready, ending)
    except Unavailable as error:
        log.critical("the service does not start: %s", error)
        return 1
    return int(engine.store.broken)


async def run_store(control: socket.socket) -> int:
    """Commit what processes of links submit. Return the exit code."""
    ending = Ending()
    on_signals(ending.stop)  # a store that fails sends the process SIGTERM
    service = StoreService()

    def told(octet: bytes, sockets: list[socket.socket]) -> None:
        if octet == LINKS:
            service.spawn(service.add(*sockets))
        elif octet == STOP:
            ending.stop()

    try:
        await service.start()
    except Unavailable as error:
        log.critical("the database cannot be used: %s", error)
        return 1
    Control(control, told).ready()
    await ending.wait()
    last = time.monotonic() + LINKS_PATIENCE
    while service.processes and not service.store.broken and time.monotonic() < last:
        await asyncio.sleep(0.01)
    await service.stop()
    return int(service.store.broken)
