"""The spool: files for bodies that are too large for the database.

They are plain files, since Django's file storage has no way to sync a file to disk. A file is complete and synced
before the row that names it commits. A file that no row names is swept later.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.apps import apps

from ...conf import conf
from ..errors import Refused
from . import room

log = logging.getLogger("tmtp")
INLINE_OCTETS = 64 * 1024  # a larger body is spooled
FOLDERS = 256
_remover = ThreadPoolExecutor(1, thread_name_prefix="tmtp-spool-remover")
_lasting: set[Path] = set()  # folders whose names this process has synced to disk
# The models whose column `spool` names files. An optional app adds its own when it is ready.
models = ["tmtp.Message"]


@dataclass(frozen=True, slots=True)
class Spooled:
    """A spooled body: the name of its file in the spool, and its size in octets."""

    name: str
    size: int


def path(name: str) -> Path:
    """Return the path of the file `name`. Files are spread over FOLDERS folders."""
    return conf.spool_dir / name[:2] / name


def create(name: str = "") -> tuple[str, BinaryIO]:
    """Create an empty file, under a new name unless one is given. Return its name, and the file open for writing."""
    name = name or secrets.token_hex(16)
    where = path(name)
    _make(where.parent)
    return name, open(where, "xb", buffering=0)


def _make(folder: Path) -> None:
    """Create a folder, and make sure that it survives a crash: whoever has created it may not have come to that."""
    if folder in _lasting and folder.exists():
        return
    if folder == conf.spool_dir:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(PermissionError):  # the folder that it is in may belong to somebody else, who has made it then
            _sync(folder.parent)
    else:
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(folder.parent)
    _lasting.add(folder)


def finish(name: str, file: BinaryIO) -> None:
    """Sync a file and its folder to disk, and close the file. Raise OSError: then the file is to be discarded.

    After a sync that failed, another one would succeed although nothing is on disk
    (docs/decisions/0022-full-disk-and-lost-database.md).
    """
    os.fsync(file.fileno())
    file.close()
    _sync(path(name).parent)


def _sync(folder: Path) -> None:
    """Sync a folder to disk, so that the names of its files survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep(pieces: Iterable[bytes], size: int) -> bytes | Spooled:
    """Return the octets of `pieces`, `size` in all, as a message's body: in memory, or spooled if it is large.

    Raise ValueError if their number is not `size`, and Refused if the file cannot be written. No file is left then.
    """
    if size <= INLINE_OCTETS:
        data = b"".join(pieces)
        _check_size(len(data), size)
        return data
    try:
        name, file = create()
    except OSError as error:
        raise _spool_failed(error) from error
    try:
        with file:
            _check_size(sum(write(file, piece) for piece in pieces), size)
            finish(name, file)
    except BaseException as error:
        discard([name])
        if isinstance(error, OSError):
            raise _spool_failed(error) from error
        raise
    return Spooled(name, size)


def write(file: BinaryIO, octets: bytes) -> int:
    """Write all octets, and return how many. Raise OSError, also if the disk has less room than it should.

    An unbuffered file may take only some of them at once.
    """
    room.check_spool()
    left = memoryview(octets)
    while left:
        left = left[file.write(left) :]
    return len(octets)


def read_cached(file: BinaryIO, octets: int) -> bytes | None:
    """Return at most the next `octets` octets of an unbuffered file, or None if they must be read from disk.

    A file that was written a moment ago is in the system's cache, and needs no thread to be read. Return None, too,
    where the system has no RWF_NOWAIT (preadv2(2)).
    """
    buffer = bytearray(octets)
    try:
        length = os.preadv(file.fileno(), [buffer], file.tell(), os.RWF_NOWAIT)
    except (OSError, AttributeError):
        return None
    file.seek(length, os.SEEK_CUR)
    return bytes(memoryview(buffer)[:length])


def _spool_failed(error: OSError) -> Refused:
    return Refused("spool_failed", reason=str(error.strerror))


def _check_size(there: int, size: int) -> None:
    if there != size:
        raise ValueError(f"a body has {there} octets instead of {size}: a file has changed while it was read")


def discard(names: Iterable[str]) -> None:
    """Remove files. Ignore files that do not exist. A file that cannot be removed is logged, and swept later."""
    for name in names:
        try:
            path(name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("a file stays in the spool: %s", error)


def discard_soon(names: Iterable[str]) -> None:
    """Remove files in a thread: it takes milliseconds until the file system has freed what a large file takes."""
    if names := list(names):
        _remover.submit(discard, names)


def finish_discarding() -> None:
    """Wait until the thread has removed all files, in a process that ends without Python's own way to end."""
    _remover.shutdown()


def sweep(folders: Iterable[int] = range(FOLDERS), older_than: float = 3600) -> int:
    """Remove files older than `older_than` seconds that no row names from some folders, and return how many."""
    removed = 0
    for number in folders:
        folder = conf.spool_dir / f"{number:02x}"
        old = [file.name for file in folder.glob("*") if _age(file) > older_than]
        orphans = set(old) - _named(old)
        discard(orphans)
        removed += len(orphans)
    return removed


def _named(files: list[str]) -> set[str]:
    """Return those of the files that rows name."""
    named: set[str] = set()
    for model in map(apps.get_model, models if files else ()):
        # This condition lets the database use the partial index of spooled rows.
        spooled = model._default_manager.extra(where=["spool > ''"]).filter(spool__in=files)
        named.update(spooled.values_list("spool", flat=True))
    return named


def _age(file: Path) -> float:
    """Return the seconds since the file was written, or 0 if another server has just removed it."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
