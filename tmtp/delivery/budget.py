"""How long a task works at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection

LONGEST = 30.0  # seconds that a task works before other tasks get the worker


class Budget:
    """The time that a task may use: a quarter of django-q2's timeout, so that its last step may take the rest.

    True while there is time left.
    """

    def __init__(self) -> None:
        timeout = getattr(settings, "Q_CLUSTER", {}).get("timeout") or 4 * LONGEST
        self._end = time.monotonic() + min(LONGEST, timeout / 4)

    def __bool__(self) -> bool:
        return time.monotonic() < self._end


def let_others_write(seconds: float) -> None:
    """Pause after a transaction that took so many seconds.

    SQLite has one writer at a time, and processes that wait for their turn check only now and then.
    """
    if connection.vendor == "sqlite":
        time.sleep(min(seconds / 2, 0.25))


def repeat(step: Callable[[], int], budget: Budget) -> int:
    """Call `step`, which is one transaction, until it returns 0 or time is up. Return the sum of what it returned."""
    total = 0
    while budget:
        begun = time.monotonic()
        done = step()
        total += done
        if not done:
            break
        let_others_write(time.monotonic() - begun)
    return total
