"""What workers run: the functions that `delivery.schedules` names, and those that are asked for with `ask`.

Each may run at any time, any number of times, and in two workers at once; each ends well before django-q2's timeout,
and what is left then is for the next run.
"""

from __future__ import annotations

import time

from django.conf import settings

from . import marks

LONGEST = 30.0  # seconds that a task works before it lets others have the worker


class Budget:
    """How long a task may go on: a quarter of django-q2's timeout, so that its last step may take the rest."""

    def __init__(self) -> None:
        timeout = getattr(settings, "Q_CLUSTER", {}).get("timeout") or 4 * LONGEST
        self._end = time.monotonic() + min(LONGEST, timeout / 4)

    def __bool__(self) -> bool:
        return time.monotonic() < self._end


def heartbeat() -> None:
    """A worker is there."""
    marks.set_mark(marks.WORKER)
