"""One TCP connection as an ASGI "tcp" scope (the contract: docs/reference/asgi-tcp.md).

Pressure goes both ways: what the application has not received yet is bounded, then the socket is not read; `send`
returns when the peer has taken enough, and one that takes nothing for `write_timeout` seconds is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, cast

log = logging.getLogger("tmtp.server")
UNREAD_MAX = 64 * 1024
UNSENT_MAX = 64 * 1024
LINGER = 1.0  # seconds that a peer in the middle of sending is read on, and octets
LINGER_OCTETS = 4 * 2**20
Application = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


async def _ended() -> None:
    raise ConnectionResetError("the connection has ended")


class TcpProtocol(asyncio.Protocol):
    """Runs the application for one connection."""

    def __init__(self, application: Application, write_timeout: float, connections: set[TcpProtocol]) -> None:
        self._application = application
        self._write_timeout = write_timeout
        self._connections = connections
        self._unread: deque[bytes] = deque()
        self._unread_octets = 0
        self._reading = True
        self._connected_told = False
        self._lost = False
        self._closing = False
        self._passed_over = 0  # octets that came after the close
        self._lingering: asyncio.TimerHandle | None = None
        self._receiver: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None  # pending while the peer takes no more
        self._deadline: asyncio.TimerHandle | None = None

    # from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the application."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=UNSENT_MAX)
        self._connections.add(self)
        self._loop = asyncio.get_running_loop()
        self._nothing = self._loop.create_future()  # to wait for
        self._nothing.set_result(None)
        self.task = self._loop.create_task(self._run(self.scope()))

    def data_received(self, data: bytes) -> None:
        """Octets for the application; when it lags, stop reading."""
        if self._closing:
            self._pass_over(len(data))
            return
        self._unread.append(data)
        self._unread_octets += len(data)
        if self._unread_octets > UNREAD_MAX and self._reading:
            self._reading = False
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, one way or another."""
        self._lost = True
        self._connections.discard(self)
        if self._lingering:
            self._lingering.cancel()
        self.resume_writing()
        del self.transport  # which holds on to this protocol
        self._wake()

    def pause_writing(self) -> None:
        """The peer does not keep up: it has until the deadline to take something, and so on."""
        self._drained = self._loop.create_future()
        self._watch_peer()

    def _watch_peer(self, before: float = inf) -> None:
        """Cut the peer off when it has taken nothing since there were `before` octets unsent."""
        unsent = self.transport.get_write_buffer_size()
        if unsent >= before:
            self.transport.abort()
        else:
            self._deadline = self._loop.call_later(self._write_timeout, self._watch_peer, unsent)

    def resume_writing(self) -> None:
        """The peer has taken enough, or is gone."""
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if self._drained and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # for the application

    def scope(self) -> dict[str, Any]:
        """The connection's scope."""
        extra = self.transport.get_extra_info
        peer, here = extra("peername"), extra("sockname")
        return {
            "type": "tcp",
            "asgi": {"version": "3.0"},
            "client": list(peer[:2]) if isinstance(peer, tuple) else None,
            "server": list(here[:2]) if isinstance(here, tuple) else None,
            "tls": extra("cipher"),
        }

    async def receive(self) -> dict[str, Any]:
        """The next event: tcp.connect first, then tcp.receive, tcp.disconnect at last."""
        if not self._connected_told:
            self._connected_told = True
            return {"type": "tcp.connect"}
        if not self._unread and not self._lost and not self._closing and not self.transport.is_closing():
            self._receiver = self._loop.create_future()
            await self._receiver
            self._receiver = None
        if not self._unread:
            return {"type": "tcp.disconnect"}
        data = self._unread.popleft() if len(self._unread) == 1 else b"".join(self._unread)
        self._unread.clear()
        self._unread_octets = 0
        if not self._reading and not self._lost:
            self._reading = True
            self.transport.resume_reading()
        return {"type": "tcp.receive", "data": data}

    def send(self, event: dict[str, Any]) -> Awaitable[None]:
        """tcp.send: write. tcp.close: close. Done when called; what it gives is to be waited for before more is sent.

        That is a future, done already as long as the peer keeps up; it raises OSError when the connection has ended.
        """
        if event["type"] == "tcp.send":
            if self._lost:
                return _ended()
            self.transport.write(event["data"])
            return self._drained or self._nothing
        if event["type"] == "tcp.close":
            self._close(event.get("unread", False))
            return self._nothing
        raise ValueError(f"unknown event {event['type']}")

    def _close(self, unread: bool = False) -> None:
        """Close once the peer has taken what was sent; a peer that does not is cut off. Nothing more is received.

        A peer that still sends is read on for a moment: a socket closed with octets unread is reset, and the peer's
        system may then throw away what it was sent last.
        """
        if self._closing or self._lost or self.transport.is_closing():
            return
        self._closing = True
        self._wake()
        if unread or self._unread:
            if not self._reading:
                self._reading = True
                self.transport.resume_reading()
            self._lingering = self._loop.call_later(LINGER, self._end_lingering)
        else:
            self._end()

    def _pass_over(self, octets: int) -> None:
        """Octets that nobody will receive."""
        self._passed_over += octets
        if self._passed_over > LINGER_OCTETS and not self._lost:
            self.transport.abort()

    def _end_lingering(self) -> None:
        """The moment is over: a peer that has been sent all of it is cut off, since it may go on for ever."""
        if self.transport.get_write_buffer_size():
            self._end()
        else:
            self.transport.abort()

    def _end(self) -> None:
        self.transport.close()
        if not self._deadline and not self._lost:
            self._watch_peer()

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._application(scope, self.receive, self.send)
        except Exception:
            log.exception("the application failed")
        finally:
            self._close()

    def _wake(self) -> None:
        if self._receiver and not self._receiver.done():
            self._receiver.set_result(None)
