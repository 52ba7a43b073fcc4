"""Run SQL statements on SQLite and PostgreSQL without Django's cursor wrappers.

Statements run on Django's connection of the calling thread, in its transaction, and raise Django's errors instead of
the driver's. A statement is a dict of its texts by the database's vendor. The package `sql` has all statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections

Row = tuple[Any, ...]
Statement = dict[str, str]
Seen = tuple[object, int]  # a connection, and the version of the database that it saw
_NUMBERS = {int, bool, type(None)}
CHUNKS = (256, 128, 64, 32, 16, 8, 4, 2, 1)  # few sizes, so that SQLite's statements stay prepared


def run(statement: Statement, parameters: Sequence[Any]) -> Any:
    """Run a statement and return the cursor."""
    database: Any = connections[DEFAULT_DB_ALIAS]  # `connection` looks it up anew for each attribute
    database.ensure_connection()
    with database.wrap_database_errors:
        if database.vendor == "postgresql":
            from psycopg import Cursor  # Django's own cursor would write all values into the statement's text

            return Cursor(database.connection).execute(statement["postgresql"], parameters, prepare=True)
        return database.connection.execute(statement["sqlite"], parameters)


def fetch(statement: Statement, parameters: Sequence[Any]) -> list[Row]:
    """Run a statement and return all its rows."""
    cursor = run(statement, parameters)
    with connection.wrap_database_errors:
        rows: list[Row] = cursor.fetchall()
    return rows


def fetch_packed(statement: Statement, parameters: Sequence[Any]) -> list[Row]:
    """Run a statement and return all its many rows.

    On SQLite the statement returns them as one JSON array, because the driver releases the interpreter's lock at each
    row.
    """
    rows = fetch(statement, parameters)
    return msgspec.json.decode(rows[0][0], type=list[tuple[Any, ...]]) if connection.vendor == "sqlite" else rows


def array(values: Iterable[Any]) -> Any:
    """Return values as one parameter: an array for PostgreSQL, JSON for SQLite."""
    values = list(values)
    return _array(values) if connection.vendor == "postgresql" else msgspec.json.encode(values).decode()


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
    if database.vendor == "postgresql":
        run(statement, [_array(list(column)) for column in zip(*rows, strict=True)])
        return
    database.ensure_connection()
    row = f"({', '.join('?' * len(rows[0]))})"
    at = 0
    for size in CHUNKS:
        text = statement["sqlite"].format(rows=", ".join([row] * size))
        while len(rows) - at >= size:
            values = [value for values in rows[at : at + size] for value in values]
            with database.wrap_database_errors:
                database.connection.execute(text, values)
            at += size


def is_pooled() -> bool:
    """Return whether a program such as PgBouncer stands between this connection and PostgreSQL.

    Then each transaction may run in another session of the database, and settings of a session do not last. PostgreSQL
    tells a client the process that serves it; a pool tells another one.
    """
    if connection.vendor != "postgresql":
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
    if connection.vendor != "sqlite":
        return seen, True
    with connection.cursor() as cursor:
        ((version,),) = cursor.execute("PRAGMA data_version")
    now = connection.connection, version  # versions of different connections cannot be compared
    return now, now != seen
