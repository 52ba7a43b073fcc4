"""A WebSocket as an ASGI "tcp" link, so that an application on scope type "tcp" serves browsers too.

    receive, send = as_tcp(receive, send, write_timeout)

Binary messages are a stream of octets, as on TCP: where one ends means nothing. Each `tcp.send` becomes one. Text is
refused with close code 4003. A link that the application closes before it first calls `receive` is never accepted, and
its client gets HTTP status 403.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .flow import Event, Receive, flow_of

NORMAL, TEXT = 1000, 4003  # close codes (RFC 6455, 7.4); 1003 would be the word for text, but daphne may not say it
Send = Callable[[Event], Awaitable[None]]


def as_tcp(receive: Receive, send: Send, write_timeout: float) -> tuple[Receive, Send]:
    """`receive` and `send` of a WebSocket as those of a TCP link.

    A peer that does not take what is sent within `write_timeout` seconds, 100 KB at most, is cut off.
    """
    link = WebSocketLink(receive, send, write_timeout)
    return link.receive, link.send


class WebSocketLink:
    """One WebSocket."""

    def __init__(self, receive: Receive, send: Send, write_timeout: float) -> None:
        self._receive = receive
        self._send = send
        self._write_timeout = write_timeout
        self._flow = flow_of(send)
        self._accepted = False
        self._ended = False

    async def receive(self) -> Event:
        """The next event: tcp.connect first, which accepts, then tcp.receive, tcp.disconnect at last."""
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
        """tcp.send or tcp.close. Waits while the peer lags; raises OSError when the link has ended."""
        if event["type"] == "tcp.close":
            await self._close(NORMAL)
        elif self._ended:
            raise ConnectionResetError("the connection has ended")
        else:
            await self._pass({"type": "websocket.send", "bytes": bytes(event["data"])})

    async def _close(self, code: int, reason: str = "") -> None:
        """Close once the peer has taken enough."""
        if self._ended:
            return
        if not self._accepted:
            await self._receive()  # websocket.connect
        try:
            await self._pass({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            pass  # it is gone
        finally:
            self._ended = True
            self._flow.end()

    async def _pass(self, event: Event) -> None:
        """Hand an event to the server, and wait as long as the peer lags."""
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._flow.eased()
                await self._send(event)
                await self._flow.eased()
        except TimeoutError:
            self._ended = True
            self._flow.cut_off()
            raise ConnectionAbortedError("the peer takes nothing") from None
