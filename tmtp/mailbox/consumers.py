"""The WebSocket of live news, which tells an open page of a mailbox that a message has arrived.

It sends "news" and nothing else. The page then fetches the new messages with an ordinary request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from ..web.sessions import is_signed_in
from .access import mailbox_for
from .polling import Poller

SIGN_IN = 4401


class MailboxConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """The connection of an open page. Several messages at once cause one "news"."""

    node: int | None = None
    account: Any = None
    sending: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept users who have signed in. Close with SIGN_IN for others."""
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(SIGN_IN)
            return
        self.account = user.pk
        self.node = (await database_sync_to_async(mailbox_for)(user)).pk
        Poller.add(self.node, self.tell)

    def tell(self) -> None:
        """Send "news", unless it is being sent already."""
        if self.sending is None or self.sending.done():
            self.sending = asyncio.create_task(self._send_news())

    async def _send_news(self) -> None:
        """Send "news" if the session is still signed in. Otherwise close: the page connects again, if it may."""
        session = self.scope["session"].session_key
        if await database_sync_to_async(is_signed_in)(session, self.account):
            await self.send("news")
        else:
            self._stop()
            await self.close()

    async def disconnect(self, code: int) -> None:
        """Stop polling for this page."""
        self._stop()
        if self.sending:
            self.sending.cancel()

    def _stop(self) -> None:
        if self.node is not None:
            Poller.remove(self.node, self.tell)
            self.node = None
