"""Bodies in a storage of Django's, TMTP["SPOOL_STORAGE"], such as a bucket.

Only the spool uses it (docs/decisions/0029-bodies-in-object-storage.md). Whatever a storage raises becomes
StorageUnavailable. What has failed is not tried again for PAUSE seconds, so that threads do not all wait for a storage
that does not answer.
"""

from __future__ import annotations

import errno
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages
from django.utils import timezone

from ...conf import conf
from .unreadable import Unreadable

log = logging.getLogger("tmtp")
FOLDER = "tmtp-spool"  # within the storage, which may have other files, too
OWNER = f"{FOLDER}/owner"  # a file that names the site
PIECE = 256 * 1024
PAUSE = 2.0  # seconds
_NAME = re.compile("[0-9a-f]{32}")
_failing: dict[str, float] = {}  # what has failed, and until when it is not tried again


class StorageUnavailable(Unreadable):
    """The storage has failed. The same may work later."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the storage of large bodies does not answer")


def is_used() -> bool:
    """Return whether bodies are in a storage, and not only in the folder of the spool."""
    return bool(conf.SPOOL_STORAGE)


@contextmanager
def _asking(what: str) -> Iterator[Storage]:
    """Give the storage to a block that does one thing with it, and turn its errors into StorageUnavailable."""
    if time.monotonic() < _failing.get(what, 0.0):
        raise StorageUnavailable
    try:
        yield storages[conf.SPOOL_STORAGE]
    except Exception as error:
        if what not in _failing:
            log.error("the storage of large bodies fails to %s: %s: %s", what, type(error).__name__, error)
        _failing[what] = time.monotonic() + PAUSE
        raise StorageUnavailable from error
    if _failing.pop(what, None) is not None:
        log.warning("the storage of large bodies can %s again", what)


def store(name: str, file: Path) -> None:
    """Store a file as the body `name`. When this returns, the storage has it. Raise StorageUnavailable."""
    key = _key(name)
    with file.open("rb") as octets, _asking("store") as storage:
        stored = storage.save(key, File(octets, name))
        if stored != key:
            storage.delete(stored)
            raise ValueError(f"it stores {key} under another name")


def pieces(name: str) -> Iterator[bytes]:
    """Yield a body in pieces. Raise StorageUnavailable, and FileNotFoundError if the storage has lost this body."""
    with _asking("read") as storage:
        file = _opened(storage, name)
        piece = file.read(PIECE) if file else b""
    if file is None:
        raise FileNotFoundError(errno.ENOENT, "the body is not in the storage", name)
    with file:
        while piece:
            yield piece
            with _asking("read"):
                piece = file.read(PIECE)


def size(name: str) -> int:
    """Return the octets of a body. Raise StorageUnavailable."""
    with _asking("read") as storage:
        return storage.size(_key(name))


def _opened(storage: Storage, name: str) -> File[bytes] | None:
    """Return a body as a file, or None if it is gone.

    A storage without any body is not where this one was: a bucket with another name, or a disk that is not mounted.
    """
    try:
        return storage.open(_key(name), "rb")
    except FileNotFoundError:
        if not storage.listdir(FOLDER)[0]:
            raise
        return None


def names(folder: str) -> set[str]:
    """Return the names of the stored bodies that begin with `folder`, two hexadecimal digits."""
    with _asking("list") as storage:
        try:
            found = storage.listdir(f"{FOLDER}/{folder}")[1]
        except FileNotFoundError:  # nothing was stored there
            return set()
        return {name for name in found if _NAME.fullmatch(name)}


def delete(names: Iterable[str]) -> None:
    """Delete bodies. Those that cannot be deleted are swept later."""
    try:
        for name in names:
            with _asking("delete") as storage:
                storage.delete(_key(name))
    except StorageUnavailable:
        return


def age(name: str) -> float:
    """Return the seconds since a body was stored, or 0 if it has just been deleted. Raise StorageUnavailable."""
    with _asking("list") as storage:
        try:
            stored = storage.get_modified_time(_key(name))
        except Exception:  # each storage raises another one
            if storage.exists(_key(name)):
                raise
            return 0.0
    aware = timezone.make_aware(stored) if timezone.is_naive(stored) else stored
    return (timezone.now() - aware).total_seconds()


def belongs_to(site: str) -> bool:
    """Return whether the bodies in the storage are those of a site, given as its uid. Raise StorageUnavailable.

    The first site to ask owns the storage. Another one, a test of it for example, would sweep what it does not know.
    """
    with _asking("list") as storage:
        if not storage.exists(OWNER):
            storage.save(OWNER, ContentFile(site.encode()))
        with storage.open(OWNER, "rb") as file:
            owner = file.read().decode(errors="replace")
    if owner != site:
        log.error("the storage of large bodies belongs to another site: nothing in it is swept")
    return bool(owner == site)


def trouble() -> str:
    """Do everything once that bodies need. Return why the storage cannot be used, or "" if it can."""
    key = f"{FOLDER}/probe-{secrets.token_hex(8)}"
    try:
        storage = storages[conf.SPOOL_STORAGE]
        storage.save(key, ContentFile(b"probe"))
        with storage.open(key, "rb") as file:
            file.read()
        storage.listdir(FOLDER)
        storage.delete(key)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _key(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/{name}"
