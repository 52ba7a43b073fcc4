"""Find bodies in the spool that no row names, a folder at a time. A crash may leave some.

Nothing is removed while the database has tables of an app that is not installed here, such as those of the mailbox's
drafts in a service with settings of its own: they may name files, too.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection

from ...conf import conf
from ..errors import Refused
from ..people.site import site_user
from ..storage import copies, object_storage, spool
from ..storage.object_storage import StorageUnavailable
from ..storage.spool import FOLDERS

log = logging.getLogger("tmtp")
OLD = 3600.0  # seconds; the message of a younger body may still be on its way into the database


class SpoolSweeper:
    """Looks through the spool, and remembers its place."""

    def __init__(self) -> None:
        self._folder = secrets.randbelow(FOLDERS)
        self._has_stored_rest = False
        self._strangers: set[str] = set()  # which the log has named
        self._is_owner: bool | None = None  # whether the bodies in the storage are this site's

    def look(self) -> None:
        """Look at the next folder. Raise OSError if the disk fails, and an Error if the database does."""
        self._folder = (self._folder + 1) % FOLDERS
        if not self._knows_all():
            return
        sweep([self._folder])
        if object_storage.is_used():
            copies.trim()
            with suppress(StorageUnavailable, Refused):  # it is logged, and tried again with the next look
                self._look_at_storage()

    def _knows_all(self) -> bool:
        """Return whether all tables that name files belong to installed apps."""
        strangers = tables_of_others()
        if strangers - self._strangers:
            tables = ", ".join(sorted(strangers))
            log.warning("the spool is not swept: %s may name files, and its app is not in INSTALLED_APPS", tables)
        self._strangers = strangers
        return not strangers

    def _look_at_storage(self) -> None:
        if not self._has_stored_rest:
            store_rest()
            self._has_stored_rest = True
        if self._is_owner is None:
            self._is_owner = object_storage.belongs_to(site_user().uid)
        if self._is_owner:
            sweep_storage([self._folder])


def tables_of_others() -> set[str]:
    """Return the tables of tmtp's optional apps that name files in the spool, and whose apps are not installed."""
    installed = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name.startswith("tmtp_")]
        return {name for name in tables if name not in installed and _names_files(cursor, name)}


def _names_files(cursor: Any, table: str) -> bool:
    """Return whether a table has a column `spool`. Raise an Error if its columns cannot be read."""
    columns = connection.introspection.get_table_description(cursor, table)
    return any(column.name == "spool" for column in columns)


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
