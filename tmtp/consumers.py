"""TMTP as a Channels consumer on scope type "tcp" (docs/reference/asgi-tcp.md).

application = ProtocolTypeRouter({"http": ..., "tcp": TmtpConsumer.as_asgi()})
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.consumer import AsyncConsumer

from .bodies import disk
from .engine import Engine
from .handlers import HANDLERS
from .protocol.errors import Quit
from .services import spool
from .services.queue import Parcel
from .session import Outbox, Session

log = logging.getLogger("tmtp")
READ_OCTETS = 128 * 1024
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class TmtpConsumer(AsyncConsumer):
    """One link. Reads events in a plain loop: the stock dispatch changes threads at every event (65 us and more)."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve a link until it ends."""
        engine = await Engine.current()
        session = engine.open((scope.get("client") or ["?"])[0])
        if session is None:
            await send({"type": "tcp.close"})
            return
        writer = asyncio.ensure_future(self._write(session, send))
        try:
            await self._read(session, receive)
        finally:
            engine.farewell(session)
            session.close()
            await asyncio.gather(writer, return_exceptions=True)

    async def _read(self, session: Session, receive: Receive) -> None:
        """Handle what comes until the client is gone, or has to go."""
        try:
            while (event := await receive())["type"] != "tcp.disconnect":
                if event["type"] == "tcp.receive" and not session.closing:
                    await session.receive(event["data"], HANDLERS)
        except Quit as quit_:
            session.close(quit_.reason)
        except Exception:
            log.exception("a link failed")

    async def _write(self, session: Session, send: Send) -> None:
        """Send what there is, all of a turn in one write; close when the session says so."""
        try:
            while outbox := await session.outgoing():
                await self._send_all(outbox, send)
                session.was_sent(outbox)
        except OSError:
            pass  # the client is gone
        finally:
            await send({"type": "tcp.close"})

    async def _send_all(self, outbox: Outbox, send: Send) -> None:
        frames: list[bytes] = []
        for item in outbox:
            if isinstance(item, Parcel):
                frames.append(item.frame)
                if item.spooled:
                    await self._send_spooled(frames, item, send)
                    frames = []
            else:
                frames.append(item)
        if frames:
            await send({"type": "tcp.send", "data": b"".join(frames)})

    async def _send_spooled(self, frames: list[bytes], parcel: Parcel, send: Send) -> None:
        """Send frames and then a body from the spool, in pieces, the first one together with its head."""
        assert parcel.spooled is not None
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(disk, open, spool.path(parcel.spooled.name), "rb", 0)
        with file:
            while piece := await loop.run_in_executor(disk, file.read, READ_OCTETS):
                await send({"type": "tcp.send", "data": b"".join([*frames, piece])})
                frames = []
