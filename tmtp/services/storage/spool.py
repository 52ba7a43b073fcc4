"""Bodies too large for the database: files in the spool folder.

Plain files, not Django's file storage, which has no way to ask that something be on disk. A file is complete and on
disk before the row that names it commits; a file that no row names is swept later.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...conf import conf
from ..errors import Refused

log = logging.getLogger("tmtp")
INLINE_OCTETS = 64 * 1024  # a larger body is spooled
FOLDERS = 256


@dataclass(frozen=True, slots=True)
class Spooled:
    """A spooled body: its file's name in the spool, and its octets."""

    name: str
    size: int


def path(name: str) -> Path:
    """Where the file `name` is. Files are spread over FOLDERS folders."""
    return conf.spool_dir / name[:2] / name


def create() -> tuple[str, BinaryIO]:
    """A new, empty file: its name, and the file open for writing."""
    name = secrets.token_hex(16)
    where = path(name)
    if not where.parent.exists():
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(where.parent.parent)
    return name, open(where, "xb", buffering=0)


def finish(name: str, file: BinaryIO) -> None:
    """Put a file, and its name, on disk for good; then close it."""
    os.fsync(file.fileno())
    file.close()
    _sync(path(name).parent)


def _sync(folder: Path) -> None:
    """Put the names in a folder on disk for good."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep(pieces: Iterable[bytes], size: int) -> bytes | Spooled:
    """What is in `pieces`, `size` octets, as a message's body: in memory, or spooled when it is large.

    Raises ValueError when it is not `size` octets, and Refused when there is no room for it. No file is left then.
    """
    if size <= INLINE_OCTETS:
        data = b"".join(pieces)
        _check_size(len(data), size)
        return data
    try:
        name, file = create()
    except OSError as error:
        raise _no_room(error) from error
    try:
        with file:
            _check_size(sum(write(file, piece) for piece in pieces), size)
            finish(name, file)
    except BaseException as error:
        discard([name])
        if isinstance(error, OSError):
            raise _no_room(error) from error
        raise
    return Spooled(name, size)


def write(file: BinaryIO, octets: bytes) -> int:
    """Write all of it; gives how many octets. A file without a buffer may take a part only (a disk nearly full)."""
    left = memoryview(octets)
    while left:
        left = left[file.write(left) :]
    return len(octets)


def read_cached(file: BinaryIO, octets: int) -> bytes | None:
    """The next octets of an unbuffered file, `octets` of them at most; None if the disk has to be waited for.

    What was stored a moment ago is in memory; a thread would only cost time. Where the system cannot tell (RWF_NOWAIT,
    preadv2(2)), None.
    """
    buffer = bytearray(octets)
    try:
        length = os.preadv(file.fileno(), [buffer], file.tell(), os.RWF_NOWAIT)
    except (OSError, AttributeError):
        return None
    file.seek(length, os.SEEK_CUR)
    return bytes(memoryview(buffer)[:length])


def _no_room(error: OSError) -> Refused:
    return Refused("spool_failed", reason=str(error.strerror))


def _check_size(there: int, size: int) -> None:
    if there != size:
        raise ValueError(f"a body has {there} octets instead of {size}: a file has changed while it was read")


def discard(names: Iterable[str]) -> None:
    """Remove files; one that is gone already is no error, one that cannot be removed is left to be swept."""
    for name in names:
        try:
            path(name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("a file stays in the spool: %s", error)


def sweep(folders: Iterable[int] = range(FOLDERS), older_than: float = 3600) -> int:
    """Remove files that no message names, `older_than` seconds at least, from some folders; gives how many."""
    removed = 0
    for number in folders:
        folder = conf.spool_dir / f"{number:02x}"
        old = [file.name for file in folder.glob("*") if _age(file) > older_than]
        orphans = set(old) - _named(old)
        discard(orphans)
        removed += len(orphans)
    return removed


def _named(files: list[str]) -> set[str]:
    """Those of the files that messages name."""
    from ...models import Message

    # Said in so many words, so that the database sees that the index of spooled messages is enough.
    spooled = Message.objects.extra(where=["spool > ''"])
    return set(spooled.filter(spool__in=files).values_list("spool", flat=True)) if files else set()


def _age(file: Path) -> float:
    """Seconds since the file was written; 0 when another server has just removed it."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
