"""Log what strangers cause: a line for each event at first, then a line a minute with a count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress

MINUTE = 60.0
LINES_PER_ADDRESS = 5  # a minute, as many as fail2ban waits for
LINES = 50  # a minute, of all addresses


class LimitedLog:
    """Warnings of one kind. `what` says what happened, with %s for the address. Use it on the event loop."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._begun = -MINUTE
        self._logged: Counter[str] = Counter()  # lines of this minute, by address
        self._left_out = 0

    def warning(self, address: str) -> None:
        """Log the event, or count it if this minute has enough lines."""
        if time.monotonic() - self._begun >= MINUTE:
            self._begin_minute()
        if self._logged.total() < LINES and self._logged[address] < LINES_PER_ADDRESS:
            self._logged[address] += 1
            self._log.warning(self._what, address)
            return
        if not self._left_out:
            with suppress(RuntimeError):  # no loop: the next event logs the count
                asyncio.get_running_loop().call_later(MINUTE, self._log_count)
        self._left_out += 1

    def _begin_minute(self) -> None:
        self._log_count()
        self._begun = time.monotonic()
        self._logged.clear()

    def _log_count(self) -> None:
        if self._left_out:
            self._log.warning(f"{self._what}: %d more within a minute", "these or other addresses", self._left_out)
            self._left_out = 0
