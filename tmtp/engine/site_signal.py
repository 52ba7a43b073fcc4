"""Send `signals.site_received` when a message for the site itself has arrived, and `messages_arrived` for any message.

The database is polled, so it does not matter which process queued the message. A look reads one entry of an index, in
a thread with its own connection, and only if the signal has receivers.
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
from ..services.storage import sql
from ..signals import messages_arrived, site_received

log = logging.getLogger("tmtp")
LOOK_FOR_SITE = 10.0  # seconds between queries for the site's mailbox while there is none
COUNTED = 10_000  # messages, at most
ARRIVALS = 1.0  # seconds between looks for new messages of any kind: on a busy service, each one finds some
NORMAL = QueueEntry.Rank.NORMAL.value


class SiteSignal:
    """The sender of `site_received`. It remembers the newest message that it sent the signal for.

    A message may commit after one with a higher number. So it also remembers how many of about the same age waited.
    """

    signal = site_received
    unknown = "nobody knows whether something came for the site: %s"

    def __init__(self) -> None:
        self._newest = self._count = 0
        self._is_away = False  # whether the last look failed
        self._mailbox: int | None = None
        self._look_for_it_at = 0.0

    async def work(self) -> None:
        """Look again and again, until the task is cancelled. Return at once if there are no receivers."""
        if not self.signal.has_listeners():
            return
        thread = ThreadPoolExecutor(1, "tmtp-site-signal")
        try:
            while True:
                await asyncio.sleep(self.pause())
                await asyncio.get_running_loop().run_in_executor(thread, self.look)
        finally:
            thread.submit(connection.close)
            thread.shutdown(wait=False)

    def pause(self) -> float:
        """Return the seconds until the next look."""
        return float(conf.POLL)

    def look(self) -> None:
        """Send the signal if there is a new message."""
        try:
            newest, count = self._look_up()
        except Error as error:
            if not self._is_away:
                log.warning(self.unknown, error)
            self._is_away = True
            connection.close()
            return
        self._is_away = False
        is_news = newest > self._newest or count > self._count
        self._newest, self._count = max(newest, self._newest), count
        if is_news:
            self.signal.send_robust(sender=type(self), number=newest)

    def _look_up(self) -> tuple[int, int]:
        """Return the number of the newest message in the site's mailbox, and how many wait that are not much older.

        Both are 0 if the mailbox is empty.
        """
        if self._mailbox is None and time.monotonic() >= self._look_for_it_at:
            self._look_for_it_at = time.monotonic() + LOOK_FOR_SITE
            sites = Node.objects.filter(user__is_site=True, kind=Node.Kind.MAILBOX, dropped=None)
            self._mailbox = sites.values_list("pk", flat=True).first()
        if self._mailbox is None:
            return 0, 0
        newest = sql.newest_entry(self._mailbox, NORMAL)
        if not newest:
            return 0, 0
        recent = QueueEntry.objects.filter(
            node=self._mailbox, rank=NORMAL, message_id__gt=max(newest, self._newest) - LATE
        )
        return newest, len(recent.values_list("message_id", flat=True)[:COUNTED])


class ArrivalSignal(SiteSignal):
    """The sender of `messages_arrived`. A message that commits after one with a higher number causes no signal."""

    signal = messages_arrived
    unknown = "nobody knows whether new messages came: %s"

    def pause(self) -> float:
        """Return the seconds until the next look."""
        return max(ARRIVALS, float(conf.POLL))

    def _look_up(self) -> tuple[int, int]:
        return sql.newest_message(), 0
