"""Statements on what is counted under limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..dialect import Row, array, fetch, run, vendor

_SPEND = {
    "sqlite": "INSERT INTO tmtp_limitcount AS old (key, server, amount, rate, counted, until)"
    " SELECT value ->> 0, 0, value ->> 1, value ->> 2, at, at + (value ->> 1) / (value ->> 2)"
    " FROM json_each(?), (SELECT (julianday('now') - 2440587.5) * 86400.0 AS at) AS clock WHERE true"
    " ON CONFLICT (key, server) DO UPDATE SET"
    " amount = max(0, old.amount - (excluded.counted - old.counted) * excluded.rate) + excluded.amount,"
    " rate = excluded.rate, counted = excluded.counted, until = excluded.until"
    " + max(0, old.amount / excluded.rate - (excluded.counted - old.counted)) RETURNING key, amount",
    "postgresql": "INSERT INTO tmtp_limitcount AS old (key, server, amount, rate, counted, until)"
    " SELECT key, 0, spent, rate, at, at + spent / rate"
    " FROM unnest(%s::bigint[], %s::float8[], %s::float8[]) AS new (key, spent, rate),"
    " (SELECT extract(epoch FROM statement_timestamp())::float8 AS at) AS clock"
    " ON CONFLICT (key, server) DO UPDATE SET"
    " amount = greatest(0, old.amount - (excluded.counted - old.counted) * excluded.rate) + excluded.amount,"
    " rate = excluded.rate, counted = excluded.counted, until = excluded.until"
    " + greatest(0, old.amount / excluded.rate - (excluded.counted - old.counted)) RETURNING key, amount",
}
_SET_OPEN = {
    "sqlite": "INSERT INTO tmtp_limitcount (key, server, amount, rate, counted)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, 0, 0 FROM json_each(?) WHERE true"
    " ON CONFLICT (key, server) DO UPDATE SET amount = excluded.amount",
    "postgresql": "INSERT INTO tmtp_limitcount (key, server, amount, rate, counted)"
    " SELECT key, server, amount, 0, 0 FROM unnest(%s::bigint[], %s::bigint[], %s::float8[])"
    " AS new (key, server, amount)"
    " ON CONFLICT (key, server) DO UPDATE SET amount = excluded.amount",
}
_OPEN_AT = {
    "sqlite": "SELECT key, sum(amount) FROM tmtp_limitcount WHERE key IN (SELECT value FROM json_each(?))"
    " AND server IN (SELECT value FROM json_each(?)) GROUP BY key",
    "postgresql": "SELECT key, sum(amount) FROM tmtp_limitcount WHERE key = ANY(%s::bigint[])"
    " AND server = ANY(%s::bigint[]) GROUP BY key",
}
_PURGE_COUNTS = {
    "sqlite": "DELETE FROM tmtp_limitcount WHERE rowid IN (SELECT rowid FROM tmtp_limitcount"
    " WHERE until < (julianday('now') - 2440587.5) * 86400.0 LIMIT ?) RETURNING 1",
    "postgresql": "DELETE FROM tmtp_limitcount WHERE ctid = ANY (ARRAY (SELECT ctid FROM tmtp_limitcount"
    " WHERE until < extract(epoch FROM statement_timestamp())::float8 LIMIT %s)) RETURNING 1",
}


def spend(rows: Sequence[tuple[int, float, float]]) -> list[Row]:
    """Add amounts to what was spent: (key, amount, what is given back each second). Return (key, spent in all)."""
    return fetch(_SPEND, _columns(rows))


def set_open(rows: Sequence[tuple[int, int, float]]) -> None:
    """Note how many links servers have open: (key, server, amount)."""
    run(_SET_OPEN, _columns(rows))


def open_at(keys: Iterable[int], servers: Iterable[int]) -> list[Row]:
    """Return how many links these servers have open, in all, for each key that has any."""
    return fetch(_OPEN_AT, (array(keys), array(servers)))


def purge_counts(limit: int) -> int:
    """Delete rates of which everything was given back, at most `limit`, and return how many."""
    return len(fetch(_PURGE_COUNTS, (limit,)))


def _columns(rows: Sequence[Row]) -> Row:
    """Return rows as parameters: columns for PostgreSQL, JSON for SQLite. They are in one order, against deadlocks."""
    rows = sorted(rows)
    return tuple(map(list, zip(*rows, strict=True))) if vendor() == "postgresql" else (array(rows),)
