"""Sends `signals.site_received` when a message has come for the site itself.

It looks into the database, so it does not matter which process queued the message; nor does the hot path know of it.
A look reads one entry of an index, in a thread and over a connection of its own, and only when somebody listens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import Error, connection

from ..conf import conf
from ..models import Node, QueueEntry
from ..services.messages.fanout import LATE
from ..signals import site_received

log = logging.getLogger("tmtp")
LOOK_FOR_SITE = 10.0  # seconds; until somebody has made it


COUNTED = 10_000  # messages, at most


class SiteSignal:
    """Remembers the newest message that it sent the signal for, and how many waited that are about as new.

    A message may commit after one with a higher number. It shows in that count.
    """

    def __init__(self) -> None:
        self._newest = self._count = 0
        self._mailbox: int | None = None
        self._look_for_it_at = 0.0

    async def work(self) -> None:
        """Look every TMTP["POLL"] seconds, until the task is cancelled. Return at once when nothing is connected."""
        if not site_received.has_listeners():
            return
        thread = ThreadPoolExecutor(1, "tmtp-site-signal")
        try:
            while True:
                await asyncio.sleep(conf.POLL)
                await asyncio.get_running_loop().run_in_executor(thread, self.look)
        finally:
            thread.submit(connection.close)
            thread.shutdown(wait=False)

    def look(self) -> None:
        """Send the signal if there is something new."""
        try:
            newest, count = self._look_up()
        except Error as error:
            log.warning("nobody knows whether something came for the site: %s", error)
            connection.close()
            return
        is_news = newest > self._newest or count > self._count
        self._newest, self._count = max(newest, self._newest), count
        if is_news:
            site_received.send_robust(sender=SiteSignal, number=newest)

    def _look_up(self) -> tuple[int, int]:
        """Return the number of the newest message in the site's mailbox, and how many wait that are not much older.

        Both are 0 when nothing waits there.
        """
        if self._mailbox is None and time.monotonic() >= self._look_for_it_at:
            self._look_for_it_at = time.monotonic() + LOOK_FOR_SITE
            sites = Node.objects.filter(user__is_site=True, kind=Node.Kind.MAILBOX, dropped=None)
            self._mailbox = sites.values_list("pk", flat=True).first()
        if self._mailbox is None:
            return 0, 0
        entries = QueueEntry.objects.filter(node=self._mailbox, rank=QueueEntry.Rank.NORMAL).order_by("-message_id")
        newest = entries.values_list("message_id", flat=True).first() or 0
        recent = entries.filter(message_id__gt=max(newest, self._newest) - LATE)
        return newest, len(recent.values_list("message_id", flat=True)[:COUNTED])
