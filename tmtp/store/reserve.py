"""A file beside SQLite's database that takes up room, to be freed when another program has filled the disk.

Logins, acknowledgements and deletions are written to the log in that room. They make more of it: what they delete is
used again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import connection

from ..conf import conf
from ..services.storage import room

OCTETS = 16 * 2**20
LOOK = 1.0  # seconds between two looks whether there is room for it again


class Reserve:
    """The reserve of this database, which all its processes share."""

    def __init__(self) -> None:
        database: Any = connection
        on_disk = database.vendor == "sqlite" and not database.is_in_memory_db()
        self._path = Path(f"{database.settings_dict['NAME']}-reserve") if on_disk else None
        self._looked = -LOOK

    def release(self) -> None:
        """Free the room."""
        self._looked = time.monotonic()
        if self._path:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Take the room again, at most every LOOK seconds, if the disk then still has twice as much as posts leave."""
        now = time.monotonic()
        if self._path is None or now - self._looked < LOOK:
            return
        self._looked = now
        octets = min(OCTETS, conf.MIN_FREE)
        with suppress(OSError):
            if octets and not self._path.exists() and room.free(self._path.parent) > 2 * conf.MIN_FREE:
                descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, octets)
                finally:
                    os.close(descriptor)
