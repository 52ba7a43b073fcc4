"""What a server counts besides its store (`tmtp.store.counters`). Use it on the event loop."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from datetime import UTC, datetime

from ..store.counters import SECONDS, Histogram

ERRORS_KEPT = 5
ERROR_LENGTH = 200  # characters


class Counters:
    """The counters of one engine. Refusals are by reason: the code of an ack error, or the reason of a quit."""

    def __init__(self) -> None:
        self.logins = 0
        self.registrations = 0
        self.refusals: Counter[str] = Counter()
        self.resent = 0  # times that a device was sent its unacknowledged messages again
        self.loop_late_seconds = Histogram(SECONDS)  # how late the loop was at each tick
        self.errors = RecentErrors()
        self._ticked = time.monotonic()

    def tick(self, late: float) -> None:
        """Note that the event loop runs, so many seconds later than it should."""
        self._ticked = time.monotonic()
        self.loop_late_seconds.add(max(0.0, late))

    def since_tick(self) -> float:
        """Return how many seconds ago the event loop last ran a tick. For any thread."""
        return time.monotonic() - self._ticked


class RecentErrors(logging.Handler):
    """Counts the lines of the log of level ERROR or higher, and keeps the last few."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self.lines: deque[dict[str, str]] = deque(maxlen=ERRORS_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, without a traceback."""
        self.count += 1
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        self.lines.append({"at": at, "level": record.levelname, "message": record.getMessage()[:ERROR_LENGTH]})

    def attach(self) -> None:
        """Begin to listen to the log of the app."""
        logging.getLogger("tmtp").addHandler(self)

    def detach(self) -> None:
        """Listen no longer."""
        logging.getLogger("tmtp").removeHandler(self)
