"""The listener: it accepts connections on sockets and runs the ASGI application for each.

It accepts by itself instead of with `loop.create_server`: a connection over a limit is closed before anything is made
for it, and accepting pauses while the process has few file descriptors left: the database and the spool need some.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from .limited_log import LimitedLog
from .proxy import Client, InvalidHeader, Proxies, read_header
from .tcp import Application, TcpProtocol
from .tls import TlsTransport

log = logging.getLogger("tmtp.server")
BACKLOG = 2048
ACCEPTED_AT_ONCE = 64  # connections, before others get their turn of the loop
DESCRIPTORS_KEPT = 32  # for files and the database; a quarter of all where they are few
PAUSE = 1.0  # seconds without accepting after it has failed
REPORT_EVERY = 60.0  # seconds between two lines in the log about that
STOP_TIMEOUT = 1.0  # seconds for connections to end by themselves when the server stops


class LinkLimits(Protocol):
    """Counts the open connections of each address."""

    def open(self, address: str) -> bool:
        """Count a connection, or return False if there are too many."""

    def close(self, address: str) -> None:
        """Count a connection that has ended."""


class Listener:
    """`limits` count each connection when it is accepted, before TLS; None for no limits.

    A connection from one of the `proxies` begins with a header that says whose it is, and counts for that address.
    """

    def __init__(
        self,
        application: Application,
        sockets: Sequence[socket.socket],
        context: ssl.SSLContext | None,
        limits: LinkLimits | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._application = application
        self._sockets = sockets
        self._context = context
        self._limits = limits
        self._proxies = proxies or Proxies([])
        self._connections: set[TcpProtocol] = set()
        self._beginning: set[asyncio.Task[None]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._failures = 0  # of accepting, not reported yet
        self._reported = -REPORT_EVERY
        self._refused = LimitedLog(log, "too many links, refused one from %s")
        self._without_header = LimitedLog(log, "a connection has no valid header of the PROXY protocol: from %s")

    async def start(self, write_timeout: float, handshake_timeout: float) -> None:
        """Begin to accept connections. Timeouts are in seconds; see `TcpProtocol` and `TlsTransport`."""
        self._loop = asyncio.get_running_loop()
        self._write_timeout = write_timeout
        self._handshake_timeout = handshake_timeout
        for sock in self._sockets:
            sock.setblocking(False)
            sock.listen(BACKLOG)
            self._loop.add_reader(sock, self._accept, sock)

    def stop_accepting(self) -> None:
        """Close the sockets."""
        for pause in self._pauses.values():
            pause.cancel()
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets = ()

    async def stop(self) -> None:
        """Wait up to STOP_TIMEOUT for the applications to end and their output to be sent, then abort the rest."""
        tasks = [connection.task for connection in self._connections]
        last = time.monotonic() + STOP_TIMEOUT
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
        while time.monotonic() < last and any(one.transport.get_write_buffer_size() for one in self._connections):
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.transport.abort()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _accept(self, listening: socket.socket) -> None:
        """Accept the connections that wait at a socket."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                check_descriptors(listening.fileno())
                sock, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause_accepting(listening, error)
                return
            address = peer[0] if isinstance(peer, tuple) else "?"
            if address in self._proxies:
                self._start(self._begin_for_proxy(sock, address, time.monotonic()))
            elif self._admit(sock, address):
                self._start(self._begin(sock, address, time.monotonic()))

    def _admit(self, sock: socket.socket, address: str) -> bool:
        """Count a connection. Return False and close it if there are too many."""
        if not self._limits or self._limits.open(address):
            return True
        sock.close()
        self._refused.warning(address)
        return False

    def _start(self, beginning: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(beginning)
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin_for_proxy(self, sock: socket.socket, proxy: str, accepted: float) -> None:
        """Begin a connection that a proxy passes on, once it has said whose it is."""
        sock.setblocking(False)
        try:
            async with asyncio.timeout(self._handshake_timeout):
                client = await read_header(sock)
        except (InvalidHeader, TimeoutError, EOFError, OSError) as error:
            if isinstance(error, (InvalidHeader, TimeoutError)):
                self._without_header.warning(f"{proxy} ({str(error) or 'it did not arrive in time'})")
            await asyncio.sleep(0)  # until the loop has forgotten the socket
            sock.close()
            return
        address = client[0] if client else proxy
        if self._admit(sock, address):
            await self._begin(sock, address, accepted, client)

    async def _begin(self, sock: socket.socket, address: str, accepted: float, client: Client | None = None) -> None:
        """Connect a protocol to an accepted socket, whose address and port are `client` if not those of its peer."""
        end = once(partial(self._limits.close, address)) if self._limits else nothing
        tcp = TcpProtocol(self._application, self._write_timeout, self._connections, accepted)
        tcp.counted = self._limits is not None
        tcp.client = client
        protocol: TcpProtocol | TlsTransport = tcp
        if self._context:
            left = accepted + self._handshake_timeout - time.monotonic()
            protocol = TlsTransport(self._context, tcp, left)
        protocol.ended = end
        sock.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, sock)
        except OSError as error:
            log.debug("a connection ended before it began: %s", error)
            sock.close()
            end()

    def _pause_accepting(self, listening: socket.socket, error: OSError) -> None:
        """Try again in a while. The connections wait in the kernel meanwhile."""
        self._failures += 1
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY:
            log.error(
                "cannot accept connections (%s), %d times; retrying every %g s", error.strerror, self._failures, PAUSE
            )
            self._reported, self._failures = now, 0
        self._loop.remove_reader(listening)
        self._pauses[listening] = self._loop.call_later(PAUSE, self._resume_accepting, listening)

    def _resume_accepting(self, listening: socket.socket) -> None:
        del self._pauses[listening]
        self._loop.add_reader(listening, self._accept, listening)


def check_descriptors(one: int) -> None:
    """Raise OSError if a link would take a descriptor that files may need. A new one is the lowest that is free."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return
    free = os.dup(one)
    os.close(free)
    if free >= most - min(DESCRIPTORS_KEPT, most // 4):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def nothing() -> None:
    """Do nothing: nobody counts."""


def once(act: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls `act` the first time only."""
    acts = [act]
    return lambda: acts.pop()() if acts else None
