"""Pressure on a WebSocket, for the one ASGI server that has none.

By ASGI a server's `send` waits while the peer lags, and what the application has not received is bounded. daphne (4.2)
does neither: it keeps all that comes and all that is to go in memory. But the connections beneath it, Twisted's, can
be paused and tell when they are full; so `DaphneFlow` asks them. It is found through `send`, which daphne binds to the
connection, and middleware such as Channels' URLRouter and OriginValidator passes on untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

UNREAD_MAX = 64 * 1024
OVERHEAD = 512  # octets of memory that an event takes besides its own
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]


def flow_of(send: Callable[..., Any]) -> Flow:
    """What bounds the connection that `send` belongs to."""
    protocol = next(iter(getattr(send, "args", ())), None)
    needed = ("application_queue", "registerProducer", "unregisterProducer", "transport")
    return DaphneFlow(protocol) if all(hasattr(protocol, name) for name in needed) else Flow()


class Flow:
    """For servers that know pressure: little is left to do."""

    def __init__(self) -> None:
        self._broken = asyncio.get_running_loop().create_future()

    async def receive(self, receive: Receive) -> Event:
        """The server's next event; when the connection was cut off, websocket.disconnect."""
        coming = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({coming, self._broken}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "websocket.disconnect"}
        finally:
            coming.cancel()

    async def eased(self) -> None:
        """Wait until the peer has taken what was sent, but for a little. Raises OSError when it is gone."""

    def end(self) -> None:
        """The application has closed: what still comes is not for it."""

    def cut_off(self) -> None:
        """Break the connection: the server does, once the application has returned."""
        if not self._broken.done():
            self._broken.set_result(None)


class DaphneFlow(Flow):
    """A connection of daphne’s: stands in for its queue of events, and is Twisted’s “producer” of what it sends."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._queue = protocol.application_queue
        self._unread = 0
        self._held = False  # the connection is not read
        self._lost = False
        self._ended = False
        self._drained: asyncio.Future[None] | None = None  # pending while the peer takes no more
        protocol.application_queue = self
        protocol.unregisterProducer()  # that of HTTP, from before it became a WebSocket
        protocol.registerProducer(self, True)

    # in

    def put_nowait(self, event: Event) -> None:
        """An event, from daphne; when the application lags, stop reading."""
        if event["type"] == "websocket.disconnect":
            self.stopProducing()
        elif self._ended:
            return
        self._unread += _size(event)
        if self._unread > UNREAD_MAX and not self._held:
            self._held = True
            self._protocol.transport.pauseProducing()
        self._queue.put_nowait(event)

    async def receive(self, receive: Receive) -> Event:
        """The next event. Reads on once the application has all."""
        event = await receive()
        self._unread -= _size(event)
        if self._held and self._queue.empty():
            self._read_on()
        return event

    def end(self) -> None:
        """Read on, so that the peer's close is seen; what else comes is dropped."""
        self._ended = True
        self._protocol.unregisterProducer()  # or Twisted would not close while it seems paused
        self._read_on()

    def cut_off(self) -> None:
        """Break the connection, with what it has not taken."""
        self._protocol.transport.abortConnection()

    def _read_on(self) -> None:
        if self._held and not self._lost:
            self._held = False
            self._protocol.transport.resumeProducing()

    # out

    async def eased(self) -> None:
        """Wait for the peer."""
        if self._drained:
            await asyncio.shield(self._drained)  # others may wait too
        if self._lost:
            raise ConnectionResetError("the connection has ended")

    def pauseProducing(self) -> None:
        """The connection has 64 KiB that the peer has not taken."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        """The peer has taken all of it."""
        if self._drained and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def stopProducing(self) -> None:
        """The connection has ended."""
        self._lost = True
        self.resumeProducing()


def _size(event: Event) -> int:
    return len(event.get("bytes") or event.get("text") or b"") + OVERHEAD
