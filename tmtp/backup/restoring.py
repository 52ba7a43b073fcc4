"""Restore a backup into an empty database and an empty spool.

The archive is read as a whole before anything is written. The spool comes first, then the database at once. So a
restoration that was interrupted can be repeated.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from django.db import connection
from django.utils.translation import gettext as _

from ..conf import conf
from ..services.storage import spool
from . import databases
from .archive import DATABASE, MANIFEST, BackupError, read_manifest, reading

VENDORS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def restore(path: Path) -> int:
    """Restore an archive, and return how many spool files it has. Raise BackupError; then no database was made."""
    manifest = read_manifest(path)
    vendor = manifest["vendor"]
    if vendor != connection.vendor:
        names = {"theirs": VENDORS.get(vendor, vendor), "ours": VENDORS.get(connection.vendor, connection.vendor)}
        raise BackupError(_("the backup is of %(theirs)s, and the site's database is %(ours)s") % names)
    databases.check_empty()
    _check_spool(manifest["files"])
    with (
        reading(path) as members,
        tempfile.TemporaryDirectory(prefix=".tmtp-restore-", dir=databases.folder()) as folder,
    ):
        for name, file in members:
            if name == DATABASE:
                with (Path(folder) / DATABASE).open("xb") as target:
                    shutil.copyfileobj(file, target)
            elif name != MANIFEST:
                _restore_file(name.removeprefix("spool/"), file)
        databases.restore(Path(folder) / DATABASE)
    return len(manifest["files"]) - 1


def _check_spool(files: dict[str, Any]) -> None:
    """Raise BackupError if the spool has files that are not those of the backup."""
    if any(f"spool/{name}" not in files for name in spool.all_names()):
        where = conf.SPOOL_STORAGE or conf.spool_dir
        raise BackupError(_("the spool %s is not empty: move it away first") % where)


def _restore_file(name: str, file: BinaryIO) -> None:
    spool.discard([name], wait=True)
    target = spool.create(name)[1]
    with target:
        shutil.copyfileobj(file, target)
        spool.finish(name, target)
