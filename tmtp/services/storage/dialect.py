"""Statements in the dialects of both databases, past Django's cursor wrappers.

They run on Django's connection of the calling thread and in its transaction, and raise Django's errors, not the
driver's. A statement is a dict: its text, by the database's vendor. Those of the service are in `sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection

Row = tuple[Any, ...]
Statement = dict[str, str]
Seen = tuple[object, int]  # a connection, and the version it had of the database
CHUNKS = (256, 64, 16, 4, 1)  # few sizes, so that SQLite's statements stay prepared


def run(statement: Statement, parameters: Sequence[Any]) -> Any:
    """Run a statement; gives the cursor."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            from psycopg import Cursor  # Django's own cursor would write all values into the statement's text

            return Cursor(connection.connection).execute(statement["postgresql"], parameters, prepare=True)
        return connection.connection.execute(statement["sqlite"], parameters)


def fetch(statement: Statement, parameters: Sequence[Any]) -> list[Row]:
    """All rows that a statement gives."""
    cursor = run(statement, parameters)
    with connection.wrap_database_errors:
        rows: list[Row] = cursor.fetchall()
    return rows


def fetch_packed(statement: Statement, parameters: Sequence[Any]) -> list[Row]:
    """Many rows at once: from SQLite as one JSON array, since it gives the interpreter's lock away at each row."""
    rows = fetch(statement, parameters)
    return msgspec.json.decode(rows[0][0], type=list[tuple[Any, ...]]) if connection.vendor == "sqlite" else rows


def array(values: Iterable[Any]) -> Any:
    """Values as one parameter: a list for PostgreSQL, JSON for SQLite."""
    values = list(values)
    return values if connection.vendor == "postgresql" else msgspec.json.encode(values).decode()


def run_many(statement: Statement, rows: Sequence[Row]) -> None:
    """Run a statement for all rows: PostgreSQL with each column an array, SQLite with a list of VALUES.

    Not executemany: it gives the interpreter's lock away at each row, and gets it back when the loop pauses.
    """
    if not rows:
        return
    if connection.vendor == "postgresql":
        run(statement, [list(column) for column in zip(*rows, strict=True)])
        return
    connection.ensure_connection()
    row = f"({', '.join('?' * len(rows[0]))})"
    at = 0
    for size in CHUNKS:
        text = statement["sqlite"].format(rows=", ".join([row] * size))
        while len(rows) - at >= size:
            values = [value for values in rows[at : at + size] for value in values]
            with connection.wrap_database_errors:
                connection.connection.execute(text, values)
            at += size


def stored_time(moment: datetime) -> Any:
    """A time in UTC as Django stores it."""
    return moment if connection.vendor == "postgresql" else moment.replace(tzinfo=None).isoformat(" ")


def others_wrote(seen: Seen) -> tuple[Seen, bool]:
    """Whether another connection may have written since `seen`, and what to give the next time.

    For a thread that only reads, and always looks over its own connection. On PostgreSQL it is always possible.
    """
    if connection.vendor != "sqlite":
        return seen, True
    with connection.cursor() as cursor:
        ((version,),) = cursor.execute("PRAGMA data_version")
    now = connection.connection, version  # versions of two connections do not compare
    return now, now != seen
