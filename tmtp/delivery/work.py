"""How workers are asked to do something, and for how long they do it at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection

LONGEST = 30.0  # seconds that a task works before it lets others have the worker


class Budget:
    """How long a task may go on: a quarter of django-q2's timeout, so that its last step may take the rest.

    True while there is time.
    """

    def __init__(self) -> None:
        timeout = getattr(settings, "Q_CLUSTER", {}).get("timeout") or 4 * LONGEST
        self._end = time.monotonic() + min(LONGEST, timeout / 4)

    def __bool__(self) -> bool:
        return time.monotonic() < self._end


def let_others_write(seconds: float) -> None:
    """Rest after a transaction of so many seconds.

    SQLite has one writer at a time, and those who wait for their turn look only now and then.
    """
    if connection.vendor == "sqlite":
        time.sleep(min(seconds / 2, 0.25))


def again(step: Callable[[], int], budget: Budget) -> int:
    """Do a step, a transaction each time, until one does nothing or time is up; gives how much was done."""
    done = 0
    while budget:
        begun = time.monotonic()
        more = step()
        done += more
        if not more:
            break
        let_others_write(time.monotonic() - begun)
    return done


def ask(task: str, *args: object) -> None:
    """Have a worker run a function, named by its dotted path, soon. It takes a few milliseconds and the database."""
    from django_q.tasks import async_task  # django-q2 reads its settings when it is imported

    async_task(task, *args, q_options={"group": "tmtp_delivery", "save": False})
