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
from django.db.models import Exists, OuterRef

from ..conf import conf
from ..models import Message, Node, QueueEntry, User
from ..services.messages.fanout import LATE
from ..services.storage import sql
from ..signals import messages_arrived, site_received

log = logging.getLogger("tmtp")
LOOK_FOR_SITE = 1.0  # seconds between queries for the site's mailbox while there is none
REMEMBERED = 10_000  # messages, at most
ARRIVALS = 1.0  # seconds between looks for new messages of any kind: on a busy service, each one finds some
NORMAL = QueueEntry.Rank.NORMAL.value


class SiteSignal:
    """The sender of `site_received`. It remembers which messages it sent the signal for.

    The highest number does not tell what is new, since a message may commit after one with a higher number, while
    others are deleted. A number that is LATE below the highest one cannot come any more.
    """

    signal = site_received
    unknown = "nobody knows whether something came for the site: %s"

    def __init__(self) -> None:
        self._newest = 0
        self._recent: frozenset[int] = frozenset()
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
            recent = self._look_up()
        except Error as error:
            if not self._is_away:
                log.warning(self.unknown, error)
            self._is_away = True
            connection.close()
            return
        self._is_away = False
        is_news, self._recent = not recent <= self._recent, recent
        if is_news:
            self._newest = max(self._newest, *recent)
            self.signal.send_robust(sender=type(self), number=max(recent))

    def _look_up(self) -> frozenset[int]:
        """Return the numbers of the messages in the site's mailbox, without those that are too old to be new."""
        if self._mailbox is None and time.monotonic() >= self._look_for_it_at:
            self._look_for_it_at = time.monotonic() + LOOK_FOR_SITE
            site = User.objects.filter(is_site=True)  # in a query of its own, for which SQLite takes the index
            mailbox = Node.objects.filter(user__in=site, kind=Node.Kind.MAILBOX, dropped=None)
            self._mailbox = mailbox.values_list("pk", flat=True).first()
        newest = 0 if self._mailbox is None else sql.newest_entry(self._mailbox, NORMAL)
        if not newest:
            return frozenset()
        there = Exists(Message.objects.filter(pk=OuterRef("message_id")))  # a post to many is entered before
        since = max(newest, self._newest) - LATE
        entries = QueueEntry.objects.filter(there, node=self._mailbox, rank=NORMAL, message_id__gt=since)
        return frozenset(entries.order_by("-message_id").values_list("message_id", flat=True)[:REMEMBERED])


class ArrivalSignal(SiteSignal):
    """The sender of `messages_arrived`."""

    signal = messages_arrived
    unknown = "nobody knows whether new messages came: %s"

    def pause(self) -> float:
        """Return the seconds until the next look."""
        return max(ARRIVALS, float(conf.POLL))

    def _look_up(self) -> frozenset[int]:
        newest = sql.newest_message()
        if newest > self._newest:
            return frozenset([newest])  # this is news. On a busy service, there would be many to read at each look
        recent = Message.objects.filter(pk__gt=self._newest - LATE).order_by("-pk")
        return frozenset(recent.values_list("pk", flat=True)[:REMEMBERED])
