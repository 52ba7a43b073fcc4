"""The numbers of messages: nanoseconds since the epoch, always rising (tmtp.md section 2, `msgid`).

All processes of a cluster number by the same clock.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from django.db.models import Max

from ...models import Message, QueueEntry, Receipt, SentMessage
from .clock import clock

STEP = 1024


class Numbers:
    """A source of numbers. Each process chooses the last ten bits at random, so that two processes rarely collide.

    `now` returns nanoseconds since the epoch.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._slot = secrets.randbelow(STEP)
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return a number that is higher than all before it, and close to the current time."""
        now = self._now()
        with self._lock:
            self._last = max(self._last + STEP, now // STEP * STEP)
            return self._last + self._slot

    def start_after(self, number: int) -> None:
        """Return only numbers above `number` from now on, whatever the clock says."""
        with self._lock:
            self._last = max(self._last, number // STEP * STEP + STEP)


numbers = Numbers(lambda: clock.now())


def largest_number() -> int:
    """Return the largest number in the database, 0 if there is none.

    A message may have been delivered and deleted, while its receipt or report still exists. The entries
    of a fan-out that did not finish have a number without a message.
    """
    found = (
        Message.objects.aggregate(last=Max("pk"))["last"],
        QueueEntry.objects.aggregate(last=Max("message_id"))["last"],
        Receipt.objects.aggregate(last=Max("number"))["last"],
        SentMessage.objects.aggregate(last=Max("pk"))["last"],
    )
    return max(number or 0 for number in found)
