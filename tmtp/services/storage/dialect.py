"""Run SQL statements on SQLite and PostgreSQL without Django's cursor wrappers.

Statements run on Django's connection of the calling thread, in its transaction, and raise Django's errors instead of
the driver's. A statement is a dict of its texts by the database's vendor. The package `sql` has all statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from typing import Any

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections

Row = tuple[Any, ...]
Statement = dict[str, str]
Seen = tuple[object, int]  # a connection, and the version of the database that it saw
_NUMBERS = {int, bool, type(None)}
CHUNK = 256  # rows of a statement on SQLite, at most


@cache
def vendor() -> str:
    """Return the vendor of the database, without looking Django's connection up."""
    return connection.vendor


def run(statement: Statement, parameters: Sequence[Any]) -> Any:
    """Run a statement and return the cursor."""
    database: Any = connections[DEFAULT_DB_ALIAS]  # `connection` looks it up anew for each attribute
    return _run(database, statement[vendor()], parameters)


def _run(database: Any, text: str, parameters: Sequence[Any]) -> Any:
    if database.connection is None:
        database.ensure_connection()
    with database.wrap_database_errors:
        if vendor() == "postgresql":
            from psycopg import Cursor  # Django's own cursor would write all values into the statement's text

            return Cursor(database.connection).execute(text, parameters, prepare=True)
        return database.connection.execute(text, parameters)


def fetch(statement: Statement, parameters: Sequence[Any]) -> list[Row]:
    """Run a statement and return all its rows."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    cursor = _run(database, statement[vendor()], parameters)
    with database.wrap_database_errors:
        rows: list[Row] = cursor.fetchall()
    return rows


def fetch_packed(statement: Statement, parameters: Sequence[Any]) -> list[Row]:
    """Run a statement and return all its many rows.

    On SQLite the statement returns them as one JSON array, because the driver releases the interpreter's lock at each
    row.
    """
    rows = fetch(statement, parameters)
    return _unpack(rows[0][0]) if vendor() == "sqlite" else rows


_unpack = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


def array(values: Iterable[Any]) -> Any:
    """Return values as one parameter: an array for PostgreSQL, JSON for SQLite."""
    values = list(values)
    return _array(values) if vendor() == "postgresql" else msgspec.json.encode(values).decode()


def _array(values: list[Any]) -> Any:
    """Return the text of an array of numbers or texts as PostgreSQL reads it, or other values as the list itself.

    psycopg calls several functions in Python for each value of a list, which takes as long as the rest of a statement.
    """
    kinds = {type(value) for value in values}
    if kinds <= _NUMBERS:
        return f"{{{str(values)[1:-1].replace('None', 'NULL')}}}"
    if kinds == {str}:
        text = '","'.join(values)
        if "\\" not in text and text.count('"') == 2 * (len(values) - 1):  # nothing has to be escaped
            return f'{{"{text}"}}'
    return values


def run_many(statement: Statement, rows: Sequence[Row]) -> None:
    """Run a statement once for many rows: each column is an array for PostgreSQL, all rows a VALUES list for SQLite.

    executemany would be slower: it releases the interpreter's lock at each row, and waits to get it back.
    """
    if not rows:
        return
    database: Any = connections[DEFAULT_DB_ALIAS]
    if vendor() == "postgresql":
        _run(database, statement["postgresql"], [_array(list(column)) for column in zip(*rows, strict=True)])
        return
    at = 0
    while left := len(rows) - at:
        size = min(1 << left.bit_length() - 1, CHUNK)  # few sizes, so that statements stay prepared
        text = _with_rows(statement["sqlite"], size, len(rows[0]))
        _run(database, text, [*chain.from_iterable(rows[at : at + size])])
        at += size


@lru_cache(500)
def _with_rows(text: str, rows: int, columns: int) -> str:
    """Return the text of a statement with a VALUES list of this size."""
    row = f"({', '.join('?' * columns)})"
    return text.format(rows=", ".join([row] * rows))


def is_pooled() -> bool:
    """Return whether a program such as PgBouncer stands between this connection and PostgreSQL.

    Then each transaction may run in another session of the database, and settings of a session do not last. PostgreSQL
    tells a client the process that serves it; a pool tells another one.
    """
    if vendor() != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((process,),) = cursor.fetchall()
    announced: int = connection.connection.info.backend_pid
    return bool(process != announced)


def stored_time(moment: datetime) -> Any:
    """Return a time of the site (`tmtp.times`) as Django stores it in this database."""
    return connection.ops.adapt_datetimefield_value(moment)


def others_wrote(seen: Seen) -> tuple[Seen, bool]:
    """Return what to pass as `seen` the next time, and whether another connection may have written since `seen`.

    For a thread that only reads, and always on its own connection. On PostgreSQL the second value is always True.
    """
    if vendor() != "sqlite":
        return seen, True
    with connection.cursor() as cursor:
        ((version,),) = cursor.execute("PRAGMA data_version")
    now = connection.connection, version  # versions of different connections cannot be compared
    return now, now != seen
