"""Serve links in a process: start an engine and a listener, and end both. Also what its process needs."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ..conf import conf, format_address
from ..engine.engine import Engine
from ..logs import log_error_of_loop
from ..monitoring.side_port import SidePort
from ..server.context import Certificate
from ..server.listener import Listener
from ..server.proxy import Proxies
from ..server.tcp import Application
from .predecessor import Predecessor

log = logging.getLogger("tmtp")
T = TypeVar("T")
M_MMAP_THRESHOLD = -3
GC_THRESHOLD = 10_000  # objects; at Python's 700, garbage collection took 7 % of the loop's time


@dataclass
class Setup:
    """What is served, and on which sockets. Without a certificate, links have no TLS. `side` is for the side port.

    `predecessor` is the server that this one replaces, or nobody.
    """

    application: Application
    sockets: Sequence[socket.socket]
    certificate: Certificate | None
    side: socket.socket | None
    predecessor: Predecessor

    @property
    def address(self) -> str:
        """The address of the sockets."""
        return format_address(*self.sockets[0].getsockname()[:2])


class Ending:
    """How a process ends: at once (`stop`), or as its clients go idle (`drain`)."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self.at_once = asyncio.Event()

    def stop(self) -> None:
        """End at once."""
        self.at_once.set()
        self._begun.set()

    def drain(self) -> None:
        """Accept no more links, and end when there are none any more."""
        self._begun.set()

    async def wait(self) -> None:
        """Wait until one of them is called."""
        await self._begun.wait()


async def serve(setup: Setup, engine: Engine, ready: Callable[[], None], ending: Ending) -> None:
    """Serve links on the sockets of a setup until they are to end. Raise Unavailable if the database is."""
    side_port = SidePort(setup.side, engine) if setup.side else None
    asyncio.get_running_loop().set_exception_handler(log_error_of_loop)
    await engine.start()
    if side_port:
        side_port.start()
    certificate = setup.certificate
    context = certificate.context if certificate else None
    listener = Listener(setup.application, setup.sockets, context, engine.limits, Proxies(conf.PROXIES))
    await listener.start(conf.WRITE_TIMEOUT, conf.LOGIN_TIMEOUT)
    renewal = asyncio.ensure_future(certificate.keep_renewed()) if certificate else None
    log.info("links are served at %s", setup.address)
    ready()
    await ending.wait()
    log.info("the service stops")
    if renewal:
        renewal.cancel()
    listener.stop_accepting()
    if side_port:
        await asyncio.to_thread(side_port.stop)
    await engine.drain(ending.at_once)
    await engine.stop()
    await listener.stop()


def tune_memory() -> None:
    """Return large buffers to the system when they are freed, and exempt the objects made so far from collection.

    glibc raises its threshold for large buffers whenever one is freed, up to the size of a TLS buffer. Without a fixed
    threshold, the memory of closed links would stay with the process (M_MMAP_THRESHOLD in mallopt(3)).
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, which is a third faster, or on asyncio's own loop if uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
