"""The WebSocket of live news: it tells an open page of a mailbox that something has arrived.

It says "news" and nothing else. The page then asks for what is new, with a request like any other.
"""

from __future__ import annotations

import asyncio

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from .access import mailbox_for
from .polling import Poller

SIGN_IN = 4401


class MailboxConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """The connection of a page whose reader has signed in. Several pieces of news at once are sent once."""

    node: int | None = None
    told: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept signed-in users only; close with SIGN_IN for others."""
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(SIGN_IN)
            return
        self.node = (await database_sync_to_async(mailbox_for)(user)).pk
        Poller.add(self.node, self.tell)

    def tell(self) -> None:
        """Send “news”, unless that is being sent already."""
        if self.told is None or self.told.done():
            self.told = asyncio.create_task(self.send("news"))

    async def disconnect(self, code: int) -> None:
        """Stop polling for this page."""
        if self.node is not None:
            Poller.remove(self.node, self.tell)
        if self.told:
            self.told.cancel()
