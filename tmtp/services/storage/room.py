"""Room on the disks of the database and of the spool.

What adds messages leaves TMTP["MIN_FREE"] octets free, so that there is room for logins, acknowledgements and
deletions, and for the database's log.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection

from ...conf import conf
from ..errors import Refused
from .dialect import fetch

log = logging.getLogger("tmtp")
LOOK = 0.05  # seconds between two looks at the disk
HOLD = 2.0  # seconds for which the disk counts as full after a write has failed
_HERE = ("", "localhost", "127.0.0.1", "::1")
_DATA_DIRECTORY = {"postgresql": "SELECT setting FROM pg_settings WHERE name = 'data_directory'"}
_low: set[Path] = set()  # folders on disks that have too little room
_full_until = 0.0
_seen = (0, 0.0, True)  # the floor that was looked at, until when that is good enough, and whether there was room


def check() -> None:
    """Raise Refused unless there is room for messages in the database."""
    if not is_there():
        raise Refused("disk_full")


def is_there() -> bool:
    """Return whether there is room for messages in the database, as far as this process can see."""
    global _seen
    now, floor = time.monotonic(), conf.MIN_FREE
    if now < _full_until:
        return False
    if now > _seen[1] or floor != _seen[0]:
        folder = _folder_of_database() if floor else None
        _seen = floor, now + LOOK, folder is None or _is_above_floor(folder)
    return _seen[2]


def check_spool() -> None:
    """Raise OSError as a write would, unless there is room for files in the spool."""
    if conf.MIN_FREE and not _is_above_floor(conf.spool_dir):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def note_full() -> None:
    """Let nothing be added for HOLD seconds, since a write has failed."""
    global _full_until
    _full_until = time.monotonic() + HOLD


def free(folder: Path) -> int:
    """Return the octets that are free on a folder's disk for this process's user. Raise OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def free_on_disks() -> dict[str, int]:
    """Return the octets that are free on the disks of the spool and the database, as far as this process can see."""
    folders = {"spool": conf.spool_dir, "database": _folder_of_database()}
    found = {}
    for name, folder in folders.items():
        with suppress(OSError):
            if folder is not None:
                found[name] = free(folder if folder.exists() else folder.parent)
    return found


def _is_above_floor(folder: Path) -> bool:
    """Return whether enough is free on a folder's disk. Log when that changes."""
    try:
        is_above = free(folder) >= int(conf.MIN_FREE)
    except OSError:  # the folder does not exist yet, or may not be looked at
        return True
    if not is_above and folder not in _low:
        _low.add(folder)
        log.error("less than MIN_FREE octets are free in %s: messages are refused", folder)
    elif is_above and folder in _low:
        _low.discard(folder)
        log.warning("enough is free in %s again: messages are taken", folder)
    return is_above


def _folder_of_database() -> Path | None:
    database: Any = connection
    name = str(database.settings_dict["NAME"])
    if database.vendor == "sqlite":
        return None if database.is_in_memory_db() else Path(name).parent
    host = str(database.settings_dict.get("HOST") or "")
    return _folder_of_postgresql() if host in _HERE or host.startswith("/") else None


@cache
def _folder_of_postgresql() -> Path | None:
    """Return the folder of a PostgreSQL on this machine, or None if it does not tell this role (pg_settings)."""
    rows = fetch(_DATA_DIRECTORY, ())
    return Path(rows[0][0]) if rows else None
