"""What an error of the database means: it is away for a while, it can only be read, or its disk takes no more."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto

from django.db import Error, InterfaceError, OperationalError

_READ_ONLY = "25006"  # PostgreSQL's codes, appendix A of its manual
_ENDED = {"25P03", "25P04"}  # a transaction that took too long, whose session PostgreSQL has ended
_DISK_FULL = "53100"
_IO_ERROR = "58030"
_INTERNAL = "XX000"


class Failure(Enum):
    """What can be done about an error."""

    AWAY = auto()  # wait, and try again
    READ_ONLY = auto()  # the same, over a new connection: the database may be promoted, or be another one
    FULL = auto()  # the disk takes no more, or a sync failed: trying again helps only if less is written


def failure_of(error: Exception) -> Failure | None:
    """Return what an error of the database means, or None if it is the statement's fault."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause) or _by_kind(error)
    return _of_postgresql(str(getattr(cause, "sqlstate", "")), str(error)) or _by_kind(error)


def broke_a_write(error: Exception) -> bool:
    """Return whether a write or a sync of SQLite failed, so that what its log holds may not be on disk."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and _code_of(cause) == sqlite3.SQLITE_IOERR


def _of_sqlite(error: sqlite3.Error) -> Failure | None:
    code = _code_of(error)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):  # the second, too, when a quota is used up
        return Failure.FULL
    return Failure.READ_ONLY if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) else None


def _code_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for an error of Python's module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _of_postgresql(code: str, text: str) -> Failure | None:
    if code in (_DISK_FULL, _IO_ERROR) or (code == _INTERNAL and "quota" in text):
        return Failure.FULL
    if code == _READ_ONLY:
        return Failure.READ_ONLY
    return Failure.AWAY if code in _ENDED else None


def _by_kind(error: Exception) -> Failure | None:
    return Failure.AWAY if isinstance(error, OperationalError | InterfaceError) and isinstance(error, Error) else None
