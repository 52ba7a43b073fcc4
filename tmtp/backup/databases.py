"""The site's database in a backup: a snapshot of it, and its restoration. SQLite's backup API, or pg_dump."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from django.apps import apps
from django.db import connection, transaction
from django.utils.translation import gettext as _

from ..services.storage import spool
from .archive import BackupError


def _names() -> str:
    """Return the query for the names of all spool files that rows have."""
    tables = [apps.get_model(label)._meta.db_table for label in spool.models]
    return " UNION ALL ".join(f"SELECT spool FROM {table} WHERE spool > ''" for table in tables)  # noqa: S608 - no input


class Snapshot(Protocol):
    """The database as it was at one moment."""

    def spooled(self) -> set[str]:
        """Return the names of the spool files that rows have."""

    def copy(self, path: Path) -> None:
        """Write the database to a file."""


class SqliteSnapshot:
    """A read transaction, which SQLite's backup API continues. Writers are not blocked."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def spooled(self) -> set[str]:
        """Return the names of the spool files that rows have."""
        return {name for (name,) in self._database.execute(_names())}

    def copy(self, path: Path) -> None:
        """Write the database to a file."""
        with closing(sqlite3.connect(path)) as target:
            self._database.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # so that all of it is in one file


class PostgresqlSnapshot:
    """An exported snapshot, which pg_dump reads, too."""

    def spooled(self) -> set[str]:
        """Return the names of the spool files that rows have."""
        with connection.cursor() as cursor:
            cursor.execute(_names())
            return {name for (name,) in cursor.fetchall()}

    def copy(self, path: Path) -> None:
        """Write the database to a file."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            ((snapshot,),) = cursor.fetchall()
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={path}"]
        run_tool("pg_dump", *options)


@contextmanager
def snapshot() -> Iterator[Snapshot]:
    """Return the database as it is now, until the end of the block. Raise BackupError if that is not possible."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield PostgresqlSnapshot()
        return
    try:
        with closing(sqlite3.connect(_sqlite_path(), timeout=20, isolation_level=None)) as database:
            database.execute("BEGIN")
            yield SqliteSnapshot(database)
    except sqlite3.Error as error:
        raise BackupError(_("the database cannot be read: %s") % error) from None


def check_empty() -> None:
    """Raise BackupError unless the site's database is empty."""
    if connection.vendor == "sqlite":
        there = [path for path in _sqlite_files() if path.exists() and path.stat().st_size]
        if there and connection.introspection.table_names():
            raise BackupError(_("the database is not empty: move %s away first") % there[0])
    elif connection.introspection.table_names():
        name = connection.settings_dict["NAME"]
        raise BackupError(_("the database %s is not empty: create a new one, and set its name") % name)
    connection.close()


def restore(path: Path) -> None:
    """Make the database from the file of a backup. It is complete, or there is none."""
    if connection.vendor == "postgresql":
        run_tool("pg_restore", "--single-transaction", "--no-owner", "--no-privileges", str(path), restore=True)
        return
    _check_sqlite(path)
    for other in _sqlite_files()[1:]:
        other.unlink(missing_ok=True)  # of an empty database
    with path.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(path, _sqlite_path())


def _check_sqlite(path: Path) -> None:
    """Raise BackupError unless a file is a database with the tables of messages."""
    try:
        with closing(sqlite3.connect(path)) as database:
            ((result,),) = database.execute("PRAGMA quick_check(1)").fetchall()
            database.execute(_names())
    except sqlite3.Error as error:
        result = str(error)
    if result != "ok":
        raise BackupError(_("the database in the backup is damaged: %s") % result)


def folder() -> Path | None:
    """Return the folder that SQLite's database is in, None for PostgreSQL."""
    return _sqlite_path().parent if connection.vendor == "sqlite" else None


def _sqlite_path() -> Path:
    database: Any = connection
    if database.is_in_memory_db():
        raise BackupError(_("the database is in memory"))
    return Path(database.settings_dict["NAME"])


def _sqlite_files() -> list[Path]:
    path = _sqlite_path()
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))]


def run_tool(name: str, *options: str, restore: bool = False) -> None:
    """Run a program of PostgreSQL on the site's database. Raise BackupError if it is missing or fails."""
    from django.db.backends.postgresql.client import DatabaseClient

    settings: dict[str, Any] = dict(connection.settings_dict)
    for key in ("HOST", "PORT", "USER", "PASSWORD"):  # Django does not look in OPTIONS, where a URL's ?host= is
        settings[key] = settings[key] or settings["OPTIONS"].get(key.lower(), "")
    (_psql, *where), env = DatabaseClient.settings_to_cmd_args_env(settings, [])
    if restore:
        where = [*where[:-1], f"--dbname={where[-1]}"]
    try:
        done = subprocess.run(
            [name, *options, *where], env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise BackupError(_("%s is not installed: it comes with PostgreSQL's client programs") % name) from None
    if done.returncode:
        raise BackupError(_("%(name)s failed: %(error)s") % {"name": name, "error": done.stderr.strip()})
