"""The listener: it accepts connections on a socket and runs the ASGI application for each."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress

from .tcp import Application, TcpProtocol
from .tls import TlsTransport

BACKLOG = 2048
STOP_TIMEOUT = 1.0  # seconds for connections to end by themselves when the server stops
RECEIVE_BUFFER = 64 * 1024  # of the kernel; a TLS buffer stays as large as the most that it once received at once
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, with keep-alive, which its connections inherit. Raise OSError."""
    (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


class Listener:
    def __init__(self, application: Application, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self._application = application
        self._socket = sock
        self._context = context
        self._connections: set[TcpProtocol] = set()
        self._server: asyncio.Server | None = None

    async def start(self, write_timeout: float, handshake_timeout: float) -> None:
        """Begin to accept connections. Timeouts are in seconds; see `TcpProtocol` and `TlsTransport`."""

        def connection() -> asyncio.BaseProtocol:
            protocol = TcpProtocol(self._application, write_timeout, self._connections)
            return TlsTransport(self._context, protocol, handshake_timeout) if self._context else protocol

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connection, sock=self._socket, backlog=BACKLOG)

    def stop_accepting(self) -> None:
        if self._server:
            self._server.close()

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
