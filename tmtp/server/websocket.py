"""A WebSocket as an ASGI "tcp" link, so that an application on scope type "tcp" serves browsers too.

    receive, send = as_tcp(receive, send, write_timeout)

Binary messages form a stream of octets, as on TCP: their boundaries mean nothing. Each `tcp.send` becomes one message.
Text messages are refused with close code 4003. If the application closes a link before it first calls `receive`, the
link is never accepted, and its client gets HTTP status 403.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .flow import Event, Receive, flow_of

NORMAL, TEXT = 1000, 4003  # close codes (RFC 6455, 7.4); 1003 would fit text, but daphne refuses to send it
Send = Callable[[Event], Awaitable[None]]


def as_tcp(receive: Receive, send: Send, write_timeout: float) -> tuple[Receive, Send]:
    """Wrap `receive` and `send` of a WebSocket, and return those of a TCP link.

    A peer that does not take what is sent within `write_timeout` seconds is disconnected.
    """
    link = WebSocketLink(receive, send, write_timeout)
    return link.receive, link.send


class WebSocketLink:
    def __init__(self, receive: Receive, send: Send, write_timeout: float) -> None:
        self._receive = receive
        self._send = send
        self._write_timeout = write_timeout
        self._flow = flow_of(send)
        self._accepted = False
        self._ended = False

    async def receive(self) -> Event:
        """Return the next event: tcp.connect first, then tcp.receive, finally tcp.disconnect.

        The first call accepts the WebSocket."""
        if not self._accepted and not self._ended:
            await self._receive()  # websocket.connect, always
            self._accepted = True
            await self._send({"type": "websocket.accept"})
            return {"type": "tcp.connect"}
        while not self._ended:
            event = await self._flow.receive(self._receive)
            if event["type"] == "websocket.disconnect":
                self._ended = True
            elif data := event.get("bytes"):
                return {"type": "tcp.receive", "data": data}
            elif event.get("text") is not None:
                await self._close(TEXT, "only binary messages are understood")
        return {"type": "tcp.disconnect"}

    async def send(self, event: Event) -> None:
        """Handle tcp.send or tcp.close. Wait while the peer is slow; raise OSError if the link has ended."""
        if event["type"] == "tcp.close":
            await self._close(NORMAL)
        elif self._ended:
            raise ConnectionResetError("the connection has ended")
        else:
            await self._send_when_drained({"type": "websocket.send", "bytes": bytes(event["data"])})

    async def _close(self, code: int, reason: str = "") -> None:
        if self._ended:
            return
        if not self._accepted:
            await self._receive()  # websocket.connect
        try:
            await self._send_when_drained({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            pass  # the peer is gone
        finally:
            self._ended = True
            self._flow.end()

    async def _send_when_drained(self, event: Event) -> None:
        """Send an event, and wait before and after it while the peer is slow.

        Raise OSError if the peer is gone or takes longer than the write timeout."""
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._flow.drained()
                await self._send(event)
                await self._flow.drained()
        except TimeoutError:
            self._ended = True
            self._flow.abort()
            raise ConnectionAbortedError("the peer takes nothing") from None
