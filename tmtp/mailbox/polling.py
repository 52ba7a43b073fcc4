"""Poll for changes in the mailboxes that are open in a browser, for all pages of this process together.

The database is queried every TMTP["POLL"] seconds, and sooner after a hint over a shared channel layer. On SQLite it
is queried only if another connection has written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.db import Error, connections
from django.db.models import Count, Exists, F, OuterRef, Sum

from ..conf import conf
from ..models import Message, QueueEntry
from ..services.messages.fanout import LATE
from ..services.storage.clock import clock
from ..services.storage.dialect import others_wrote
from ..services.storage.hints import listen

log = logging.getLogger("tmtp")
REBASE_SECONDS = 60
Queue = tuple[int, int]  # how many messages are newer than `since`, and by how much, added up


@dataclass
class QueueChanges:
    """The state of the mailboxes' queues at the last query. Use it in one thread only, which has its own connection.

    Only messages newer than `since` are counted. `since` moves on from time to time, so that they never are many.
    """

    seen: tuple[object, int] = (None, -1)
    since: int = 0
    queues: dict[int, Queue] = field(default_factory=dict)
    nodes: frozenset[int] = frozenset()

    def changed(self, nodes: Iterable[int]) -> list[int]:
        """Return the mailboxes that have changed since the last call, and those that are new in `nodes`.

        In a new one, a message may have arrived since its page was rendered.
        """
        nodes = frozenset(nodes)
        self.seen, wrote = others_wrote(self.seen)
        if not wrote and nodes <= self.nodes:
            self.nodes = nodes
            return []
        later = clock.now() - LATE
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
        # The entries of a post to many are written before its message.
        there = Exists(Message.objects.filter(pk=OuterRef("message_id")))
        waiting = QueueEntry.objects.filter(there, node__in=nodes, rank=QueueEntry.Rank.NORMAL, message_id__gt=since)
        # the key is composite, so Count("pk") is not possible
        rows = waiting.order_by().values_list("node_id").annotate(many=Count("rank"), by=Sum(F("message_id") - since))
        return {node: (many, by) for node, many, by in rows}


class Poller:
    """The poller of all pages of an event loop. It runs as long as there is a page."""

    running: ClassVar[dict[asyncio.AbstractEventLoop, Poller]] = {}

    def __init__(self) -> None:
        self.pages: dict[int, set[Callable[[], Any]]] = {}
        self.hint = asyncio.Event()
        self.tasks = [asyncio.create_task(self._poll()), asyncio.create_task(listen(self.hint.set))]

    @classmethod
    def add(cls, node: int, tell: Callable[[], Any]) -> None:
        """Call `tell` whenever the mailbox `node`, which an open page shows, has changed."""
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
        """Stop calling `tell`, whose page has been closed."""
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
        thread = ThreadPoolExecutor(1, "mailboxes")  # its connection is used for nothing else
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
