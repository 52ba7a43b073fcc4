"""Make the store's commits durable: set its connection up, and check that SQLite's file is still there."""

from __future__ import annotations

import os
from typing import Any

from django.db import OperationalError, connection

from ..services.storage.dialect import is_pooled
from .waiting import lock_wait

PREPARE_AFTER = 5  # executions of a statement for which `dialect.run` does not ask


def make_durable() -> bool:
    """Set this connection up for durable commits, which on SQLite (WAL) do not wait for readers.

    Return whether it does not last, behind a pool: then each transaction must begin with `make_transaction_durable`.
    """
    raw: Any = connection.connection
    if connection.vendor == "sqlite":
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute(f"PRAGMA busy_timeout = {int(lock_wait() * 1000)}")
        raw.execute("PRAGMA temp_store = MEMORY")  # of receipts: services.storage.sql.records
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
    else:
        if is_pooled():
            return True
        connection.cursor().execute("SET synchronous_commit = on")
        raw.prepare_threshold = PREPARE_AFTER  # Django turns prepared statements off, since a pool may be in between
    return False


def make_transaction_durable() -> None:
    """Let the transaction that has begun commit with full durability, on PostgreSQL behind a pool."""
    connection.cursor().execute("SET LOCAL synchronous_commit = on")


def rewrite_log() -> None:
    """Copy SQLite's log into its database, sync that, and begin the log anew.

    After a sync that failed, the system takes what it has not written for written, and a later sync says nothing of
    it. Without this, a log that was read again after a crash would look complete, with a hole on the disk.
    """
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class DatabaseFile:
    """SQLite's database file. If it is removed or replaced, SQLite goes on writing to a file without a name."""

    def __init__(self) -> None:
        self._opened: tuple[int, int] | None = None

    def note(self) -> None:
        """Remember the file that the connection has opened, if this is the first call."""
        self._opened = self._opened or self._found()

    def check(self) -> None:
        """Raise OperationalError if the file at the database's path is not the one that was opened."""
        if self._opened and self._found() != self._opened:
            raise OperationalError("the file of the database was removed or replaced: put it back, or restart")

    @staticmethod
    def _found() -> tuple[int, int] | None:
        if connection.vendor != "sqlite":
            return None
        try:
            status = os.stat(connection.settings_dict["NAME"])
        except OSError:
            return None
        return status.st_dev, status.st_ino
