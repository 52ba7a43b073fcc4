"""The WebSocket of live news, which tells an open page of a mailbox that a message has arrived.

It sends "news" and nothing else. The page then fetches the new messages with an ordinary request.
"""

from __future__ import annotations

import asyncio

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from .access import mailbox_for
from .polling import Poller

SIGN_IN = 4401


class MailboxConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """The connection of an open page. Several messages at once cause one "news"."""

    node: int | None = None
    sending: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept users who have signed in. Close with SIGN_IN for others."""
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(SIGN_IN)
            return
        self.node = (await database_sync_to_async(mailbox_for)(user)).pk
        Poller.add(self.node, self.tell)

    def tell(self) -> None:
        """Send "news", unless it is being sent already."""
        if self.sending is None or self.sending.done():
            self.sending = asyncio.create_task(self.send("news"))

    async def disconnect(self, code: int) -> None:
        """Stop polling for this page."""
        if self.node is not None:
            Poller.remove(self.node, self.tell)
        if self.sending:
            self.sending.cancel()
