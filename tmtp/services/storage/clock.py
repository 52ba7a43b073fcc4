"""The clock of this host and that of the database, which may run on another one."""

from __future__ import annotations

import time

from django.db import connection


def ahead_of_database() -> float:
    """Return how many seconds this clock is ahead of the database's. SQLite has none of its own: 0."""
    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        ((database,),) = cursor.fetchall()
        return (before + time.time()) / 2 - float(database)
