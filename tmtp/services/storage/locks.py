"""Locks that last as long as the process that holds them, whatever clocks, host names and process numbers say.

On PostgreSQL, a lock is an advisory lock of the session, which the database ends together with the connection. On
SQLite, it is a lock on a file beside the database, which the system ends together with the process. A database in
memory belongs to one process, and so do its locks.

Behind PgBouncer there are no locks: a session of PostgreSQL would go on holding one after its process has ended.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import connection

from .dialect import is_pooled

_CLASS = 0x746D7470  # "tmtp": the first number of the advisory locks
_held: dict[int, Any] = {}  # on PostgreSQL the connection that holds each lock, on SQLite its file


def hold(number: int) -> bool:
    """Take a lock, again after its connection was lost. Return False while another process has it."""
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        if _held.get(number) is not connection.connection:
            if are_possible() and not _take(number):
                return False
            _held[number] = connection.connection
    elif number not in _held:
        path = path_of(number)
        file = path and _locked(path, os.O_CREAT)
        if path and file is None:
            return False
        _held[number] = file
    return True


def are_possible() -> bool:
    """Return whether a lock lasts as long as the process, over this connection."""
    return not is_pooled()


def _take(number: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_CLASS, _key(number)])
        return bool(cursor.fetchone()[0])


def is_held(number: int) -> bool:
    """Return whether a process holds a lock, this one or another."""
    return bool(held_among([number]))


def held_among(numbers: Iterable[int]) -> set[int]:
    """Return those of the locks that processes hold, this one or others."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = %s"
                " AND objsubid = 2 AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                [_CLASS],
            )
            held = {key for (key,) in cursor.fetchall()}
        return {number for number in numbers if _key(number) in held}
    return {number for number in numbers if _is_locked(number)}


def _is_locked(number: int) -> bool:
    if number in _held:
        return True
    path = path_of(number)
    if path is None or not path.exists():
        return False
    file = _locked(path)
    if file is None:
        return True
    os.close(file)
    return False


def release(number: int) -> None:
    """Release a lock, and remove the file of one that nobody holds."""
    holder = _held.pop(number, None)
    if connection.vendor == "postgresql":
        if holder is not None and holder is connection.connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_CLASS, _key(number)])
        return
    path = path_of(number)
    if path:
        with suppress(OSError):
            path.unlink()
    if holder is not None:
        os.close(holder)


def _key(number: int) -> int:
    return number & 0x7FFF_FFFF


def path_of(number: int) -> Path | None:
    """Return the file of a lock, None for a database in memory."""
    database: Any = connection
    if database.is_in_memory_db():
        return None
    return Path(f"{database.settings_dict['NAME']}-server-{number}.lock")


def _locked(path: Path, flags: int = 0) -> int | None:
    """Open a file and lock it. Return its descriptor, or None when another process has the lock."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
