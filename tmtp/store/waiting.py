"""How long the store's connection may wait for the database, whatever it waits for.

SQLite waits for a lock for as long as its connection says. PostgreSQL may keep a client waiting for a lock, for a
process that is stopped, or for a network that loses all packets: a thread cuts the connection then, and the statement
fails as when the database is away.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from ..conf import conf

LOCK_WAIT = 1.0  # seconds; what waits for longer tries again
CONNECT_WAIT, CONNECT_WAIT_LEAST = 5, 2  # seconds
LOOK = 0.1  # seconds between two looks at the clock


def lock_wait() -> float:
    """Return how many seconds one attempt may wait for a lock of SQLite."""
    return min(LOCK_WAIT, float(conf.STORE_PATIENCE))


class Cutter:
    """Bounds what the store waits for PostgreSQL: a thread cuts its connection when it has waited for too long."""

    def __init__(self) -> None:
        self._deadline: float | None = None
        self._database: Any = None  # the store's own, once the thread is started
        self._connect_wait = CONNECT_WAIT
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the thread, from the store's, and let the store connect outside of Django's pool."""
        database: Any = connections[DEFAULT_DB_ALIAS]
        if database.vendor != "postgresql":
            return
        options = dict(database.settings_dict.get("OPTIONS") or {})
        options.pop("pool", None)
        self._connect_wait = int(options.get("connect_timeout") or CONNECT_WAIT)
        database.settings_dict = {**database.settings_dict, "OPTIONS": options}  # other threads' stays as it is
        self._database = database
        threading.Thread(target=self._work, name="tmtp-cutter", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Cut the connection if the block has not ended at `deadline` (time.monotonic()), which is a second at least.

        A connection that is made in the block may take as long, but two seconds at least, since psycopg wants them.
        """
        now = time.monotonic()
        before, self._deadline = self._deadline, max(deadline, now + LOCK_WAIT)
        if self._database is not None:
            wait = min(self._connect_wait, int(deadline - now))
            self._database.settings_dict["OPTIONS"]["connect_timeout"] = max(CONNECT_WAIT_LEAST, wait)
        try:
            yield
        finally:
            self._deadline = before

    def _work(self) -> None:
        looked = time.monotonic()
        while not self._ended.wait(LOOK):
            before, looked = looked, time.monotonic()
            deadline = self._deadline
            if looked - before > LOCK_WAIT and deadline is not None:
                self._deadline = looked + LOCK_WAIT  # this process was stopped, not the database
            elif deadline is not None and looked > deadline:
                with suppress(Exception):  # the connection has just been closed, or not been made
                    _cut(self._database.connection)


def _cut(raw: Any) -> None:
    """End the socket of a connection that another thread uses."""
    copy = socket.socket(fileno=os.dup(raw.fileno()))
    with copy:
        if not raw.closed:  # so the descriptor was this connection's when it was copied
            copy.shutdown(socket.SHUT_RDWR)
