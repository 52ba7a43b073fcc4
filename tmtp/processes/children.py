"""What the processes do: one alone, or several that a supervisor has started."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable

from ..engine.engine import Engine
from ..store.interface import Deliver
from ..store.transactions import Unavailable
from .control import LINKS, STOP, Control
from .remote_store import RemoteStore
from .serving import Setup, serve
from .store_process import StoreService

log = logging.getLogger("tmtp")
LINKS_PATIENCE = 5.0  # seconds for processes of links to end, before the store does


def stop_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def serve_alone(setup: Setup, ready: Callable[[], None]) -> bool:
    """Serve links and write to the database in one process. Return False if the store has failed."""
    stop = stop_signals()
    engine = Engine(setup.address)
    await serve(setup, engine, ready, stop)
    return not engine.store.broken


async def run_links(setup: Setup, number: int, store: socket.socket, control: socket.socket) -> int:
    """Serve links, with the store at the other end of a socket. Return the exit code.

    The first process has the side port.
    """
    stop = stop_signals()
    controlled = Control(control, lambda *_: stop.set())
    remote: list[RemoteStore] = []

    def remote_store(deliver: Deliver) -> RemoteStore:
        remote.append(RemoteStore(store, stop.set, deliver))
        return remote[0]

    engine = Engine(setup.address, remote_store)
    await remote[0].connect(show_figures=number == 0)
    try:
        await serve(setup, engine, controlled.ready, stop)
    except Unavailable as error:
        log.critical("the service does not start: %s", error)
        return 1
    return int(engine.store.broken)


async def run_store(control: socket.socket) -> int:
    """Commit what processes of links submit. Return the exit code."""
    stop = stop_signals()  # a store that fails sends the process SIGTERM
    service = StoreService()

    def told(octet: bytes, sockets: list[socket.socket]) -> None:
        if octet == LINKS:
            service.spawn(service.add(*sockets))
        elif octet == STOP:
            stop.set()

    try:
        await service.start()
    except Unavailable as error:
        log.critical("the database cannot be used: %s", error)
        return 1
    Control(control, told).ready()
    await stop.wait()
    last = time.monotonic() + LINKS_PATIENCE
    while service.processes and not service.store.broken and time.monotonic() < last:
        await asyncio.sleep(0.01)
    await service.stop()
    return int(service.store.broken)
