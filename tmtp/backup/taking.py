"""Take a backup while the service runs.

Spool files may vanish at any time, when their message is acknowledged. So those that a snapshot of the database names
get a second link at once, and the snapshot is taken again if some were gone by then. Only then is it copied.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from django.db import connection
from django.utils.translation import gettext as _

from ..conf import conf
from ..services.storage import spool
from ..services.storage.object_storage import StorageUnavailable
from ..services.storage.unreadable import Unreadable
from .archive import DATABASE, BackupError, Writer
from .databases import Snapshot, snapshot

TRIES = 20
DAY = 86400.0


def back_up(path: Path) -> tuple[int, int, list[str]]:
    """Write a backup to a new file. Return its spool files, its octets, and the spool files that cannot be read.

    Raise BackupError if it cannot be written, or if the file exists.
    """
    try:
        if path.exists():
            raise BackupError(_("%s exists already") % path)
        conf.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_old_links()
        with (
            tempfile.TemporaryDirectory(prefix="backup-", dir=conf.spool_dir) as links,
            tempfile.TemporaryDirectory(prefix=".tmtp-backup-", dir=path.parent) as folder,
        ):
            return _write(path, Path(links), Path(folder))
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {error.strerror or error}") from None


def _remove_old_links() -> None:
    """Remove the links of backups that were killed: they keep files that nobody needs."""
    for folder in conf.spool_dir.glob("backup-*"):
        if time.time() - folder.stat().st_mtime > DAY:
            shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, links: Path, folder: Path) -> tuple[int, int, list[str]]:
    names, missing = _copy_database(folder / DATABASE, links)
    writer = Writer(path)
    try:
        writer.add(DATABASE, folder / DATABASE)
        for name in sorted(names):
            try:
                writer.add(f"spool/{name}", links / name)
            except Unreadable:
                missing.add(name)
        writer.finish({"vendor": connection.vendor, "made": datetime.now(UTC).isoformat(timespec="seconds")})
    except BaseException:
        writer.abandon()
        raise
    return len(names - missing), path.stat().st_size, sorted(missing)


def _copy_database(target: Path, links: Path) -> tuple[set[str], set[str]]:
    """Copy a snapshot whose spool files are all linked. Return their names, and those that have been gone for long."""
    gone: set[str] = set()
    for tries in range(TRIES):
        with snapshot() as found:
            names = found.spooled()
            missing = _link(names, links)
            if missing <= gone or tries == TRIES - 1:  # gone in the last snapshot, and named in this one all the same
                return _copied(found, target, names, missing)
            gone = missing
    raise AssertionError


def _copied(found: Snapshot, target: Path, names: set[str], missing: set[str]) -> tuple[set[str], set[str]]:
    found.copy(target)
    return names - missing, missing


def _link(names: Iterable[str], links: Path) -> set[str]:
    """Link spool files into a folder, and return those that do not exist, or cannot be read."""
    missing = set()
    for name in names:
        try:
            spool.link(name, links / name)
        except StorageUnavailable:
            raise
        except (FileNotFoundError, Unreadable):
            missing.add(name)
    return missing
