"""The numbers of messages: nanoseconds since the epoch, always rising (tmtp.md section 2, `msgid`)."""

from __future__ import annotations

import secrets
import threading
import time

STEP = 1024


class Numbers:
    """A source of numbers. The last ten bits are this process's own, so that two processes do not meet."""

    def __init__(self) -> None:
        self._slot = secrets.randbelow(STEP)
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        """A number higher than all before it; about the present time."""
        with self._lock:
            self._last = max(self._last + STEP, time.time_ns() // STEP * STEP)
            return self._last + self._slot

    def start_after(self, number: int) -> None:
        """Give only numbers above `number`, whatever the clock says."""
        with self._lock:
            self._last = max(self._last, number // STEP * STEP + STEP)


numbers = Numbers()
