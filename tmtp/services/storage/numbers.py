"""The numbers of messages: nanoseconds since the epoch, always rising (tmtp.md section 2, `msgid`)."""

from __future__ import annotations

import secrets
import threading
import time

from django.db.models import Max

from ...models import Message, QueueEntry, Receipt, SentMessage

STEP = 1024


class Numbers:
    """A source of numbers. Each process chooses the last ten bits at random, so that two processes rarely collide."""

    def __init__(self) -> None:
        self._slot = secrets.randbelow(STEP)
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return a number that is higher than all before it, and close to the current time."""
        with self._lock:
            self._last = max(self._last + STEP, time.time_ns() // STEP * STEP)
            return self._last + self._slot

    def start_after(self, number: int) -> None:
        """Return only numbers above `number` from now on, whatever the clock says."""
        with self._lock:
            self._last = max(self._last, number // STEP * STEP + STEP)


numbers = Numbers()


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
