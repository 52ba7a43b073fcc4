"""Make a folder for the files of tests, and print its path.

It is in memory if there is room, and if programs may run there: a disk's file system takes seconds to make and remove
the many files of all tests. The caller removes it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

MEMORY = "/dev/shm"  # noqa: S108, mkdtemp makes a folder of its own in it
ROOM = 2 * 1024**3  # octets


def is_suitable(folder: str) -> bool:
    """Return whether a folder can be written to, has room, and is not for data alone."""
    if not os.access(folder, os.W_OK):
        return False
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize >= ROOM and not system.f_flag & os.ST_NOEXEC


folder = Path(tempfile.mkdtemp(prefix="mnm-", dir=MEMORY if is_suitable(MEMORY) else None))
folder.chmod(0o711)  # PostgreSQL does not run as root, and must find its own folder in this one
sys.stdout.write(str(folder))
