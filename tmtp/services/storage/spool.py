"""The spool: files for bodies that are too large for the database.

A file is complete and synced before the row that names it commits. A file that no row names is swept later. If there
is a storage for bodies (`object_storage`), it has each body before the row commits, and this host keeps a copy.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import secrets
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...conf import conf
from ..errors import Refused
from . import copies, object_storage, room
from .object_storage import StorageUnavailable
from .unreadable import BodyFile, guarding, report

log = logging.getLogger("tmtp")
INLINE_OCTETS = 64 * 1024  # a larger body is spooled
FOLDERS = 256
_remover = ThreadPoolExecutor(1, thread_name_prefix="tmtp-spool-remover")
_deleter = ThreadPoolExecutor(4, thread_name_prefix="tmtp-storage-deleter")
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
    """Make a file last, and close it: sync it and its folder, or store it. Raise OSError: then discard the file.

    After a sync that failed, another one would succeed although nothing is on disk
    (docs/decisions/0022-full-disk-and-lost-database.md).
    """
    os.fsync(file.fileno())
    file.close()
    if object_storage.is_used():
        object_storage.store(name, path(name))
        copies.adopt(name, path(name))
    else:
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


def open_here(name: str, size: int | None = None) -> io.FileIO:
    """Open a body, unbuffered. Raise FileNotFoundError if it is not on this host: then `fetch` it.

    A file that does not have `size` octets is damaged, and as good as none: a link that sent it would break. Raise
    Unreadable if the system does not let it be read.
    """
    there = _here(name)
    with guarding(name):
        if size is None or there.stat().st_size == size:
            return BodyFile(there, name)
    report(name, f"a file of the spool is damaged: it has not {size} octets: {there}")
    if object_storage.is_used():
        copies.path(name).unlink(missing_ok=True)
    raise FileNotFoundError(errno.ENOENT, "the body is damaged", name)


def _here(name: str) -> Path:
    """Return the file that a body has on this host, if it has any."""
    if object_storage.is_used() and copies.path(name).exists():
        return copies.path(name)
    return path(name)


def fetch(name: str, size: int | None = None) -> None:
    """Get a body that is not on this host. It may take long. Raise FileNotFoundError if it is gone, and OSError.

    Raise FileNotFoundError, too, if the storage has another number of octets than `size`.
    """
    if not object_storage.is_used():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    with copies.new(name) as file:
        received = sum(write(file, piece) for piece in object_storage.pieces(name))
        if received == size:
            return
        there = object_storage.size(name)
        if received != there:
            log.warning("the storage of large bodies gave %d of %d octets of %s", received, there, name)
            raise StorageUnavailable
        if size is not None:
            report(name, f"it is damaged in its storage: it has {there} octets instead of {size}")
            raise FileNotFoundError(errno.ENOENT, "the body is damaged", name)


def open_body(name: str, size: int | None = None) -> BinaryIO:
    """Open a body, which may have to be fetched. Raise FileNotFoundError if it is gone, and Unreadable.

    One that does not have `size` octets is damaged, and as good as none. Reading raises Unreadable, too.
    """
    try:
        return io.BufferedReader(open_here(name, size))
    except FileNotFoundError:
        with guarding(name):
            fetch(name, size)
    try:
        return io.BufferedReader(open_here(name, size))
    except FileNotFoundError:  # it has just been removed to make room, or with its message
        raise StorageUnavailable from None


def link(name: str, target: Path) -> None:
    """Give a body a file of its own in the spool's file system. Raise as `open_body` does, and OSError."""
    try:
        os.link(_here(name), target)
    except FileExistsError:
        pass
    except FileNotFoundError:
        fetch(name)
        link(name, target)
    except OSError:  # a file system without links
        with open_body(name) as body, open(target, "wb") as file:
            shutil.copyfileobj(body, file)


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


def discard(names: Iterable[str], *, wait: bool = False) -> None:
    """Remove bodies. Ignore those that do not exist. One that cannot be removed is logged, and swept later.

    Those in a storage are deleted by a thread, unless the caller can `wait`.
    """
    names = list(names)
    for name in names:
        _unlink(name)
    if names and object_storage.is_used():
        deleted = _deleter.submit(object_storage.delete, names)
        if wait:
            deleted.result()


def _unlink(name: str) -> None:
    """Remove what this host has of a body."""
    try:
        path(name).unlink(missing_ok=True)
        if object_storage.is_used():
            copies.path(name).unlink(missing_ok=True)
    except OSError as error:
        log.warning("a file stays in the spool: %s", error)


def discard_soon(names: Iterable[str]) -> None:
    """Remove bodies in a thread: it takes milliseconds until the file system has freed what a large file takes."""
    if names := list(names):
        _remover.submit(discard, names)


def finish_discarding() -> None:
    """Wait until the threads have removed all files, in a process that ends without Python's own way to end."""
    _remover.shutdown()
    _deleter.shutdown()


def all_names() -> set[str]:
    """Return the names of all bodies. Raise OSError."""
    here = {file.name for file in conf.spool_dir.glob("[0-9a-f][0-9a-f]/*")}
    if not object_storage.is_used():
        return here
    return here.union(*(object_storage.names(f"{number:02x}") for number in range(FOLDERS)))
