"""Backpressure for WebSockets under daphne, which has none.

ASGI servers make `send` wait while the peer is slow, and bound what the application has not received yet. daphne (4.2)
does neither: it buffers everything, in both directions. The Twisted connections below it can be paused, and report
when their buffers are full; `DaphneFlow` uses that. It finds the connection through `send`, which daphne binds to it,
and which middleware such as Channels' URLRouter and OriginValidator passes on unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

UNREAD_MAX = 64 * 1024
OVERHEAD = 512  # octets of memory that an event takes besides its data
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]


def flow_of(send: Callable[..., Any]) -> Flow:
    """Return the flow control of the connection that `send` belongs to."""
    protocol = next(iter(getattr(send, "args", ())), None)
    needed = ("application_queue", "registerProducer", "unregisterProducer", "transport")
    return DaphneFlow(protocol) if all(hasattr(protocol, name) for name in needed) else Flow()


class Flow:
    """Flow control for servers that have backpressure themselves."""

    def __init__(self) -> None:
        self._aborted = asyncio.get_running_loop().create_future()

    async def receive(self, receive: Receive) -> Event:
        """Return the server's next event, or websocket.disconnect after `abort`."""
        event = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({event, self._aborted}, return_when=asyncio.FIRST_COMPLETED)
            return event.result() if event.done() else {"type": "websocket.disconnect"}
        finally:
            event.cancel()

    async def drained(self) -> None:
        """Wait until the peer has taken almost all that was sent. Raise OSError if it is gone."""

    def end(self) -> None:
        """Discard what still arrives: the application has closed the connection."""

    def abort(self) -> None:
        """Let `receive` return, so that the application returns and the server ends the connection."""
        if not self._aborted.done():
            self._aborted.set_result(None)


class DaphneFlow(Flow):
    """Flow control for a connection of daphne: it replaces daphne's queue of events, and is Twisted's producer."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._queue = protocol.application_queue
        self._unread = 0
        self._paused = False  # whether reading is paused
        self._lost = False
        self._ended = False
        self._drained: asyncio.Future[None] | None = None  # pending while the send buffer is full
        protocol.application_queue = self
        protocol.unregisterProducer()  # HTTP's, from before the upgrade to a WebSocket
        protocol.registerProducer(self, True)

    # receiving

    def put_nowait(self, event: Event) -> None:
        """Queue an event from daphne. Pause reading if the application is slow."""
        if event["type"] == "websocket.disconnect":
            self.stopProducing()
        elif self._ended:
            return
        self._unread += _size(event)
        if self._unread > UNREAD_MAX and not self._paused:
            self._paused = True
            self._protocol.transport.pauseProducing()
        self._queue.put_nowait(event)

    async def receive(self, receive: Receive) -> Event:
        """Return the next event. Resume reading once the application has received all of them."""
        event = await receive()
        self._unread -= _size(event)
        if self._paused and self._queue.empty():
            self._resume_reading()
        return event

    def end(self) -> None:
        """Resume reading, so that the peer's close is seen. Everything else is discarded."""
        self._ended = True
        self._protocol.unregisterProducer()  # while the producer is paused, Twisted would not close
        self._resume_reading()

    def abort(self) -> None:
        self._protocol.transport.abortConnection()

    def _resume_reading(self) -> None:
        if self._paused and not self._lost:
            self._paused = False
            self._protocol.transport.resumeProducing()

    # sending

    async def drained(self) -> None:
        if self._drained:
            await asyncio.shield(self._drained)  # several may wait for it
        if self._lost:
            raise ConnectionResetError("the connection has ended")

    def pauseProducing(self) -> None:
        """Stop sending. Twisted calls this when 64 KiB are in the send buffer."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        """Send again. Twisted calls this when the send buffer is empty."""
        if self._drained and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def stopProducing(self) -> None:
        """End all waiting. Twisted calls this when the connection has ended."""
        self._lost = True
        self.resumeProducing()


def _size(event: Event) -> int:
    return len(event.get("bytes") or event.get("text") or b"") + OVERHEAD
