"""Polling: which mailboxes of those that are open in a browser have changed. For all pages of this process together.

The database is the ground truth, as it is for links: it is queried every TMTP["POLL"] seconds, and sooner after a hint
over a shared channel layer. On SQLite a query is made only if another connection has written.
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

from django.db import Error, connections
from django.db.models import Count, Exists, Max, OuterRef

from ..conf import conf
from ..models import Message, QueueEntry
from ..services.messages.fanout import LATE
from ..services.storage.dialect import others_wrote
from ..services.storage.hints import listen

log = logging.getLogger("tmtp")
REBASE_SECONDS = 60
Queue = tuple[int, int]  # how many messages since a time, and the newest number


@dataclass
class QueueChanges:
    """The state of the queues of mailboxes at the last query. For one thread, with that thread's connection.

    It counts the messages that are newer than `since`. That time moves on now and then, so that it never counts many.
    """

    seen: tuple[object, int] = (None, -1)
    since: int = 0
    queues: dict[int, Queue] = field(default_factory=dict)
    nodes: frozenset[int] = frozenset()

    def changed(self, nodes: Iterable[int]) -> list[int]:
        """Return the mailboxes that have changed since the last call, and those that are new in `nodes`.

        In a new one, something may have arrived since its page was rendered.
        """
        nodes = frozenset(nodes)
        self.seen, wrote = others_wrote(self.seen)
        if not wrote and nodes <= self.nodes:
            self.nodes = nodes
            return []
        later = time.time_ns() - LATE
        moved = later - self.since > REBASE_SECONDS * 1_000_000_000
        # Query this first: a message that arrives between the two queries is reported twice rather than never.
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
        # the key is composite, so Count("pk") is not possible
        rows = waiting.order_by().values_list("node_id").annotate(many=Count("rank"), newest=Max("message_id"))
        return {node: (many, newest) for node, many, newest in rows}


class Poller:
    """Polls for all pages of an event loop, as long as there is a page."""

    running: ClassVar[dict[asyncio.AbstractEventLoop, Poller]] = {}

    def __init__(self) -> None:
        self.pages: dict[int, set[Callable[[], Any]]] = {}
        self.hint = asyncio.Event()
        self.tasks = [asyncio.create_task(self._poll()), asyncio.create_task(listen(self.hint.set))]

    @classmethod
    def add(cls, node: int, tell: Callable[[], Any]) -> None:
        """Call `tell` whenever something has arrived in the mailbox `node`, which a page shows."""
        loop = asyncio.get_running_loop()
        poller = cls.running.get(loop)
        if poller is None:
            poller = cls.running[loop] = cls()
        pages = poller.pages.setdefault(node, set())
        if pages:  # the mailbox is polled already, but perhaps not since this page was rendered
            tell()
        pages.add(tell)

    @classmethod
    def remove(cls, node: int, tell: Callable[[], Any]) -> None:
        """Stop calling `tell`: the page is gone."""
        loop = asyncio.get_running_loop()
        poller = cls.running.get(loop)
        if poller is None:
            return
        poller.pages.get(node, set()).discard(tell)
        if not poller.pages.get(node):
            poller.pages.pop(node, None)
        if not poller.pages:
            del cls.running[loop]
            for task in poller.tasks:
                task.cancel()

    async def _poll(self) -> None:
        loop, queues, failed = asyncio.get_running_loop(), QueueChanges(), False
        thread = ThreadPoolExecutor(1, "mailboxes")  # whose connection is used for nothing else
        try:
            while True:
                try:
                    changed = await loop.run_in_executor(thread, queues.changed, list(self.pages))
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
