"""The clock of the cluster, by which messages are numbered and dated: the database's, on PostgreSQL.

SQLite has none of its own, and all its processes are on one host: its clock is the host's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import connection

KNOWN_FOR = 60.0  # seconds after which the database is asked again
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the host is suspended
_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1e9)::bigint"


def running() -> int:
    """Return nanoseconds of a clock that nobody sets."""
    return time.clock_gettime_ns(_SINCE_BOOT)


class Clock:
    """What this process knows of the database's clock. `ask` returns its time in nanoseconds, None if it has none.

    Between two measurements it goes on as the host's clock that nobody sets. It is corrected by as much as a
    measurement shows it to be wrong: the time that a query takes makes no difference to it.
    """

    def __init__(self, ask: Callable[[], int | None]) -> None:
        self._ask = ask
        self._offset: int | None = None  # to `running`
        self._due = 0  # when the database is to be asked, by `running`
        self._lock = threading.Lock()

    def now(self) -> int:
        """Return nanoseconds since the epoch. Call it where the database can be used: it may have to be asked."""
        at = running()
        if at >= self._due:
            self._measure(at)
        return time.time_ns() if self._offset is None else running() + self._offset

    def learn(self, told: int, asked: int) -> None:
        """Note that the database has told this time, after it was asked at `asked` (by `running`)."""
        at = running()
        least, most = told - at, told - asked
        with self._lock:
            known = (least + most) // 2 if self._offset is None else self._offset
            self._offset = min(max(known, least), most)
            self._due = at + int(KNOWN_FOR * 1e9)

    def _measure(self, at: int) -> None:
        told = self._ask()
        if told is None:
            self._due = at + int(KNOWN_FOR * 1e9)
        else:
            self.learn(told, at)


def _ask_database() -> int | None:
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(_CLOCK)
        ((told,),) = cursor.fetchall()
    return int(told)


clock = Clock(_ask_database)


def ahead_of_database() -> float:
    """Return how many seconds this host's clock is ahead of the database's."""
    told = clock.now()
    return (time.time_ns() - told) / 1e9
