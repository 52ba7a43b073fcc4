"""Find bodies in the spool that no row names, a folder at a time. A crash may leave some."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from django.apps import apps

from ...conf import conf
from ..errors import Refused
from ..people.site import site_user
from ..storage import copies, object_storage, spool
from ..storage.object_storage import StorageUnavailable
from ..storage.spool import FOLDERS

OLD = 3600.0  # seconds; the message of a younger body may still be on its way into the database


class SpoolSweeper:
    """Looks through the spool, and remembers its place."""

    def __init__(self) -> None:
        self._folder = secrets.randbelow(FOLDERS)
        self._has_stored_rest = False
        self._is_owner: bool | None = None  # whether the bodies in the storage are this site's

    def look(self) -> None:
        """Look at the next folder. Raise OSError if the disk fails, and an Error if the database does."""
        self._folder = (self._folder + 1) % FOLDERS
        sweep([self._folder])
        if object_storage.is_used():
            copies.trim()
            with suppress(StorageUnavailable, Refused):  # it is logged, and tried again with the next look
                self._look_at_storage()

    def _look_at_storage(self) -> None:
        if not self._has_stored_rest:
            store_rest()
            self._has_stored_rest = True
        if self._is_owner is None:
            self._is_owner = object_storage.belongs_to(site_user().uid)
        if self._is_owner:
            sweep_storage([self._folder])


def sweep(folders: Iterable[int] = range(FOLDERS), older_than: float = OLD) -> int:
    """Remove files older than `older_than` seconds that no row names from some folders, and return how many."""
    removed = 0
    for number in folders:
        folder = conf.spool_dir / f"{number:02x}"
        old = [file.name for file in folder.glob("*") if _age(file) > older_than]
        orphans = set(old) - _named(old)
        spool.discard(orphans)
        removed += len(orphans)
    return removed


def sweep_storage(folders: Iterable[int] = range(FOLDERS), older_than: float = OLD) -> int:
    """Do as `sweep` does with the bodies in the storage. Raise StorageUnavailable."""
    removed = 0
    for number in folders:
        stored = object_storage.names(f"{number:02x}")
        unnamed = stored - _named(list(stored))
        orphans = [name for name in unnamed if object_storage.age(name) > older_than]
        object_storage.delete(orphans)
        removed += len(orphans)
    return removed


def store_rest() -> None:
    """Store the bodies of messages that are in the folder only, from before there was a storage. Raise OSError.

    Their files stay until their messages are gone, as processes with the old settings may still read them.
    """
    for folder in conf.spool_dir.glob("[0-9a-f][0-9a-f]"):
        named = _named([file.name for file in folder.iterdir()])
        for name in named - object_storage.names(folder.name) if named else ():
            with suppress(FileNotFoundError):  # its message has just gone
                object_storage.store(name, spool.path(name))


def _named(files: list[str]) -> set[str]:
    """Return those of the files that rows name."""
    named: set[str] = set()
    for model in map(apps.get_model, spool.models if files else ()):
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
