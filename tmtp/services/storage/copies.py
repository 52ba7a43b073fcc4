"""Copies of stored bodies on this host, in a folder of the spool, so that a body is fetched at most once for a host.

The copies of the last FRESH seconds are kept, and otherwise at most TMTP["SPOOL_CACHE"] octets, for KEPT seconds.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import BinaryIO

from ...conf import conf

FRESH = 10.0
KEPT = 3600.0
SHARE = 16  # how often a process looks while it adds as many octets as are kept
_added = inf  # octets that this process has added since it looked


def path(name: str) -> Path:
    """Return where the copy of a body is, if there is one."""
    return _folder() / name


def _folder() -> Path:
    return conf.spool_dir / "copies"


def adopt(name: str, file: Path) -> None:
    """Make a file that is synced to disk the copy of a body. Raise OSError."""
    global _added
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    _added += file.stat().st_size
    file.replace(path(name))
    if _added * SHARE > int(conf.SPOOL_CACHE):
        trim()
        _added = 0


@contextmanager
def new(name: str) -> Iterator[BinaryIO]:
    """Give a file to a block that writes a copy into it. Raise OSError, and not FileNotFoundError."""
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path(f"{name}.{secrets.token_hex(4)}")
    try:
        with open(part, "xb", buffering=0) as file:
            yield file
            os.fsync(file.fileno())
        try:
            adopt(name, part)
        except FileNotFoundError as error:
            raise OSError(errno.EIO, "a copy was removed while it was made", name) from error
    finally:
        part.unlink(missing_ok=True)


def trim() -> None:
    """Remove old copies, and the oldest ones if there are too many."""
    now, left = time.time(), int(conf.SPOOL_CACHE)
    for file, written, size in sorted(_there(), key=lambda one: -one[1]):
        left -= size
        if now - written > KEPT or (left < 0 and now - written > FRESH and "." not in file.name):
            with suppress(OSError):
                file.unlink()


def _there() -> Iterator[tuple[Path, float, int]]:
    """Yield each copy, when it was written, and its size."""
    with suppress(FileNotFoundError), os.scandir(_folder()) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                there = entry.stat()
                yield Path(entry.path), there.st_mtime, there.st_size
