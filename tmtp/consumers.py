"""TMTP as a Channels consumer on scope type "tcp" (docs/reference/asgi-tcp.md), and on "websocket".

application = ProtocolTypeRouter({"http": ..., "tcp": TmtpConsumer.as_asgi()})

For WebSocket see routing.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.consumer import AsyncConsumer

from .conf import conf
from .engine.engine import Engine
from .engine.links import FAREWELL
from .links.handlers import HANDLERS
from .links.session import Session
from .links.writer import Send, Writer
from .protocol.errors import Quit
from .server.websocket import as_tcp

log = logging.getLogger("tmtp")
Receive = Callable[[], Awaitable[dict[str, Any]]]


class TmtpConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """The consumer of one link. It reads events in a loop: Channels' own dispatch takes 65 us or more for each."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve a link until it ends."""
        if scope["type"] == "websocket":
            receive, send = as_tcp(receive, send, conf.WRITE_TIMEOUT)
        try:
            engine = await Engine.current()
        except Exception as error:
            log.error("the service does not start: %s", error)
            await send({"type": "tcp.close"})
            return
        accepted = (scope.get("extensions") or {}).get("accepted") or {}
        session = Session(
            engine, (scope.get("client") or ["?"])[0], accepted.get("at"), counted=accepted.get("counted", False)
        )
        if not engine.links.open(session):
            await send({"type": "tcp.close"})
            return
        writer = Writer(session, send)
        patience = None
        try:
            await self._read(session, receive)
        except asyncio.CancelledError:
            patience = FAREWELL  # the server stops
            raise
        finally:
            engine.links.farewell(session)
            session.end()
            await asyncio.wait([writer.finished], timeout=patience)

    async def _read(self, session: Session, receive: Receive) -> None:
        """Handle events until the client disconnects. End the link if the protocol asks for it (Quit)."""
        try:
            while (event := await receive())["type"] != "tcp.disconnect":
                if event["type"] == "tcp.receive" and not session.closing:
                    await session.receive(event["data"], HANDLERS)
        except Quit as quit_:
            await session.settle()  # so that earlier requests are answered first
            session.close(quit_.reason)
        except Exception:
            log.exception("a link failed")
