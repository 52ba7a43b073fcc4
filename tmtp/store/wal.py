"""A thread that copies SQLite's write-ahead log (WAL) into the database file (docs/decisions/0011-fan-out.md).

It also keeps the reserve, room for what must be written although the disk is full.
Without it, a commit that finds a thousand pages in the log copies them, and takes 10 ms longer.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from django.db import Error, connection

from .durability import DatabaseFile
from .reserve import Reserve

ROWS = 4000  # a checkpoint is made when so many rows have changed
IDLE = 1.0  # seconds, after which fewer are enough
LOG_PAGES = 16_000  # 64 MB; with so many pages, if writers never pause, a commit makes the checkpoint after all


class Checkpoints:
    """The checkpoints of the store's database. They do nothing on other databases than SQLite."""

    def __init__(self, reserve: Reserve, file: DatabaseFile) -> None:
        self._reserve = reserve
        self._file = file
        self._due = threading.Event()
        self._changed = 0  # rows, as the store's connection counts them
        self._done = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Its connection is opened with the first checkpoint, after the store's."""
        database: Any = connection
        if database.vendor == "sqlite" and not database.is_in_memory_db():
            self._thread = threading.Thread(target=self._work, name="tmtp-checkpoints", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, before the store's connection is closed."""
        self._ended = True
        self._due.set()
        if self._thread:
            self._thread.join()

    def raise_autocheckpoint(self) -> None:
        """Raise wal_autocheckpoint on this connection, the store's, so that commits never wait for a checkpoint."""
        if self._thread:
            connection.cursor().execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")

    def note(self) -> None:
        """Note that the store has committed."""
        if self._thread and connection.connection is not None:
            self._changed = connection.connection.total_changes
            if not 0 <= self._changed - self._done < ROWS:  # a new connection counts from zero
                self._due.set()

    def _work(self) -> None:
        while not self._ended:
            self._due.wait(IDLE)
            self._due.clear()
            self._reserve.keep()
            if self._changed != self._done and self._file.is_there:
                self._done = self._changed
                with suppress(Error):  # the next checkpoint includes this one
                    connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.close()
