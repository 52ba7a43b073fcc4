"""Tells open pages of a mailbox that something has come, so that they ask for it: a WebSocket at /live/mailbox.

Says "news" and nothing else: what is new, the page gets with a request like any other. The database is the ground
truth, as it is for links: one look every TMTP["POLL"] seconds for all pages of this process, and sooner with a hint
over a shared channel layer. On SQLite a look costs nothing unless another connection has written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error, connections
from django.db.models import Count, Exists, Max, OuterRef

from ..conf import conf
from ..models import Message, QueueEntry
from ..services.messages.fanout import LATE
from ..services.storage.dialect import others_wrote
from ..services.storage.hints import listen
from .access import mailbox_for

log = logging.getLogger("tmtp")
SIGN_IN = 4401
REBASE_SECONDS = 60
Queue = tuple[int, int]  # of a mailbox, since some time: how many messages, and the newest number


@dataclass
class Look:
    """Looks at the queues of mailboxes. For one thread, with that thread's connection.

    Of each it counts what is newer than `since`, which moves on now and then, so that it never counts much.
    """

    seen: tuple[object, int] = (None, -1)
    since: int = 0
    queues: dict[int, Queue] = field(default_factory=dict)
    nodes: frozenset[int] = frozenset()

    def changed(self, nodes: Iterable[int]) -> list[int]:
        """The mailboxes in which something has changed since the last look, and those looked at for the first time:
        something may have come since their page was made."""
        nodes = frozenset(nodes)
        self.seen, wrote = others_wrote(self.seen)
        if not wrote and nodes <= self.nodes:
            self.nodes = nodes
            return []
        later = time.time_ns() - LATE
        moved = later - self.since > REBASE_SECONDS * 1_000_000_000
        # Taken first: what comes between the two looks is told twice rather than never.
        base = self._queues(nodes, later) if moved else {}
        now = self._queues(nodes, self.since or later)
        changed = [node for node in nodes if node not in self.nodes or now.get(node) != self.queues.get(node)]
        if moved:
            self.since = later
        self.queues, self.nodes = base if moved else now, nodes
        return changed

    def _queues(self, nodes: Iterable[int], since: int) -> dict[int, Queue]:
        # A post to many has its entries before it has its message.
        there = Exists(Message.objects.filter(pk=OuterRef("message_id")))
        waiting = QueueEntry.objects.filter(there, node__in=nodes, rank=QueueEntry.Rank.NORMAL, message_id__gt=since)
        # the key is composite: Count("pk") cannot be said
        rows = waiting.order_by().values_list("node_id").annotate(many=Count("rank"), newest=Max("message_id"))
        return {node: (many, newest) for node, many, newest in rows}


class Watch:
    """The one who looks, for all pages of an event loop; there while there is a page."""

    running: ClassVar[dict[asyncio.AbstractEventLoop, Watch]] = {}

    def __init__(self) -> None:
        self.pages: dict[int, set[Callable[[], Any]]] = {}
        self.hint = asyncio.Event()
        self.tasks = [asyncio.create_task(self._look()), asyncio.create_task(listen(self.hint.set))]

    @classmethod
    def add(cls, node: int, tell: Callable[[], Any]) -> None:
        """A page shows the mailbox `node`; call `tell` when something has come."""
        loop = asyncio.get_running_loop()
        watch = cls.running.get(loop)
        if watch is None:
            watch = cls.running[loop] = cls()
        pages = watch.pages.setdefault(node, set())
        if pages:  # the mailbox is looked at already, but perhaps not since this page was made
            tell()
        pages.add(tell)

    @classmethod
    def remove(cls, node: int, tell: Callable[[], Any]) -> None:
        """The page is gone."""
        loop = asyncio.get_running_loop()
        watch = cls.running.get(loop)
        if watch is None:
            return
        watch.pages.get(node, set()).discard(tell)
        if not watch.pages.get(node):
            watch.pages.pop(node, None)
        if not watch.pages:
            del cls.running[loop]
            for task in watch.tasks:
                task.cancel()

    async def _look(self) -> None:
        loop, look, failed = asyncio.get_running_loop(), Look(), False
        thread = ThreadPoolExecutor(1, "mailboxes")  # whose connection is used for nothing else
        try:
            while True:
                try:
                    changed = await loop.run_in_executor(thread, look.changed, list(self.pages))
                    failed = False
                except Error as error:
                    if not failed:
                        log.warning("mailboxes are not looked at: %s", error)
                    changed, failed = [], True
                    await loop.run_in_executor(thread, connections.close_all)
                for node in changed:
                    for tell in list(self.pages.get(node, ())):
                        tell()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.hint.wait(), conf.POLL)
                self.hint.clear()
        finally:
            thread.submit(connections.close_all)
            thread.shutdown(wait=False)


class MailboxConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """A page of a signed-in member. Several news at once are told once."""

    node: int | None = None
    told: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Take members of the website only."""
        user = self.scope.get("user")
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(SIGN_IN)
            return
        self.node = (await database_sync_to_async(mailbox_for)(user)).pk
        Watch.add(self.node, self.tell)

    def tell(self) -> None:
        """Something has come."""
        if self.told is None or self.told.done():
            self.told = asyncio.create_task(self.send("news"))

    async def disconnect(self, code: int) -> None:
        """The page is gone."""
        if self.node is not None:
            Watch.remove(self.node, self.tell)
        if self.told:
            self.told.cancel()
