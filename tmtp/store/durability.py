"""Make the store's commits durable: set its connection up, and check that SQLite's file is still there."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from django.db import Error, OperationalError, connection

from ..services.storage.dialect import is_pooled
from .waiting import lock_wait

Stamp = tuple[int, int]  # a file's device and inode
PAUSE = 0.05  # seconds between two attempts to copy the log
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
    """Copy SQLite's log into its database, sync that, and begin the log anew. Raise OperationalError if it is in use.

    After a sync that failed, the system takes what it has not written for written, and a later sync says nothing of
    it. Without this, a log that was read again after a crash would look complete, with a hole on the disk.
    """
    if connection.vendor == "sqlite" and _copy_log()[0]:
        raise OperationalError("others read or copy the log of the database")


def save_log() -> bool:
    """Copy SQLite's log into its database, and sync that. Return whether all of it was copied within a second."""
    give_up = time.monotonic() + lock_wait()
    while True:
        in_use, pages, copied = _copy_log()
        if not in_use or 0 <= pages == copied:  # whoever still reads the log does not matter
            return True
        if time.monotonic() > give_up:
            return False
        time.sleep(PAUSE)


def _copy_log() -> tuple[int, int, int]:
    """Copy SQLite's log into its database, sync that, and begin the log anew.

    Return whether others use the log, so that not all of it was done, how many pages it has, and how many of them are
    copied. While others copy it, both numbers are -1. See https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
    """
    in_use, pages, copied = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return in_use, pages, copied


class DatabaseFile:
    """SQLite's database file and its log.

    If one is removed or replaced, SQLite goes on writing to a file without a name, and whoever connects meanwhile
    begins an empty database at the old path, and takes the log for its own.
    """

    def __init__(self) -> None:
        self._opened: Stamp | None = None
        self._log_path = ""
        self._log: Stamp | None = None
        self._is_saved = False

    def note(self) -> None:
        """Remember the files that were just opened; of the database, the one that was opened first."""
        if connection.vendor == "sqlite":
            name = connection.settings_dict["NAME"]
            self._opened = self._opened or _stamp(name)
            self._log_path = os.path.realpath(name) + "-wal"
            self._log = _stamp(self._log_path)

    def forget_log(self) -> None:
        """Expect no log: the store is not connected, and whoever closed the last connection has removed it."""
        self._log = None

    def check(self) -> None:
        """Raise OperationalError if the files at the database's path are not those that were opened.

        What the log holds is copied into the database first, so that nothing is lost with the log.
        """
        if self.is_there:
            self._is_saved = False
            return
        if connection.connection is not None and not self._is_saved:
            with suppress(Error):
                self._is_saved = save_log()
        raise OperationalError("the file of the database or its log was removed or replaced: put it back, or restart")

    @property
    def is_there(self) -> bool:
        """Whether both are at their paths."""
        if self._opened is None:
            return True
        if _stamp(connection.settings_dict["NAME"]) != self._opened:
            return False
        return self._log is None or _stamp(self._log_path) == self._log


def _stamp(path: str | os.PathLike[str]) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
