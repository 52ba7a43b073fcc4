"""One TCP connection as an ASGI "tcp" scope, as docs/reference/asgi-tcp.md specifies it.

There is backpressure in both directions. The socket is not read while the application has not received UNREAD_MAX
octets. `send` waits while UNSENT_MAX octets are unsent, and a peer that takes nothing for `write_timeout` seconds is
disconnected.
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
LINGER = 1.0  # seconds for which a closed connection is read if its peer is still sending
LINGER_OCTETS = 4 * 2**20  # the most that is read then
Application = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


async def _ended() -> None:
    raise ConnectionResetError("the connection has ended")


class TcpProtocol(asyncio.Protocol):
    """Runs the application for one connection.

    `connections` is the set of all that are open. `accepted` is the time.monotonic() of the connection's beginning.
    """

    counted = False  # whether the server has counted the connection
    client: tuple[str, int] | None = None  # its address and port, if they are not the peer's
    ended: Callable[[], None] | None = None  # called when the socket is closed

    def __init__(
        self, application: Application, write_timeout: float, connections: set[TcpProtocol], accepted: float
    ) -> None:
        self._application = application
        self._write_timeout = write_timeout
        self._connections = connections
        self._accepted = accepted
        self._unread: deque[bytes] = deque()
        self._unread_octets = 0
        self._reading = True
        self._connect_received = False
        self._lost = False
        self._closing = False
        self._discarded = 0  # octets received after the close
        self._lingering: asyncio.TimerHandle | None = None
        self._receiver: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None  # pending while too much is unsent
        self._deadline: asyncio.TimerHandle | None = None

    # called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=UNSENT_MAX)
        self._connections.add(self)
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()  # for callers that need not wait
        self._done.set_result(None)
        self.task = self._loop.create_task(self._run(self.scope()))

    def data_received(self, data: bytes) -> None:
        """Queue octets for the application. Pause reading if it is slow."""
        if self._closing:
            self._discard(len(data))
            return
        self._unread.append(data)
        self._unread_octets += len(data)
        if self._unread_octets > UNREAD_MAX and self._reading:
            self._reading = False
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._connections.discard(self)
        if self._lingering:
            self._lingering.cancel()
        self.resume_writing()
        del self.transport  # break the reference cycle
        self._wake()
        if self.ended:
            self.ended()

    def pause_writing(self) -> None:
        """Let `send` wait, and watch whether the peer takes anything before each deadline."""
        self._drained = self._loop.create_future()
        self._watch_peer()

    def _watch_peer(self, before: float = inf) -> None:
        """Abort if the peer has taken nothing since `before` octets were unsent; else check again later."""
        unsent = self.transport.get_write_buffer_size()
        if unsent >= before:
            self.transport.abort()
        else:
            self._deadline = self._loop.call_later(self._write_timeout, self._watch_peer, unsent)

    def resume_writing(self) -> None:
        """Let `send` return: the peer has taken enough, or is gone."""
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if self._drained and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # called by the application

    def scope(self) -> dict[str, Any]:
        extra = self.transport.get_extra_info
        client, here = self.client or extra("peername"), extra("sockname")
        return {
            "type": "tcp",
            "asgi": {"version": "3.0"},
            "client": list(client[:2]) if isinstance(client, tuple) else None,
            "server": list(here[:2]) if isinstance(here, tuple) else None,
            "tls": extra("cipher"),
            "extensions": {"accepted": {"at": self._accepted, "counted": self.counted}},
        }

    async def receive(self) -> dict[str, Any]:
        """Return the next event: tcp.connect first, then tcp.receive, finally tcp.disconnect."""
        if not self._connect_received:
            self._connect_received = True
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
        """Write (tcp.send) or close (tcp.close) at once. Await the result before sending more.

        The result is already done as long as the peer keeps up. It raises OSError if the connection has ended.
        """
        if event["type"] == "tcp.send":
            if self._lost:
                return _ended()
            self.transport.write(event["data"])
            return self._drained or self._done
        if event["type"] == "tcp.close":
            self._close(event.get("unread", False))
            return self._done
        raise ValueError(f"unknown event {event['type']}")

    def _close(self, unread: bool = False) -> None:
        """Close once the peer has taken what was sent, or abort if it does not. No more events are received.

        If the peer is still sending, read for up to LINGER seconds more. The kernel resets a connection that is
        closed with unread octets, and the peer may then lose the last octets that were sent to it.
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

    def _discard(self, octets: int) -> None:
        self._discarded += octets
        if self._discarded > LINGER_OCTETS and not self._lost:
            self.transport.abort()

    def _end_lingering(self) -> None:
        """Close, or abort if everything was sent: a peer that still sends may go on for ever."""
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
