"""Statements on the reports of the site's messages, and on the receipts of requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import OperationalError

from ..dialect import Row, Statement, array, fetch, run, run_many, stored_time, vendor

# On SQLite, an index on the keys would dirty a page for each receipt, which is most of what a commit writes. So the
# index is a temporary table in the memory of the connection. A transaction that is rolled back undoes its part of it.
_INDEX_RECEIPTS = (
    "CREATE TEMP TABLE IF NOT EXISTS tmtp_receipt_key (id integer PRIMARY KEY, key integer NOT NULL)",
    "CREATE INDEX IF NOT EXISTS temp.tmtp_receipt_key_key ON tmtp_receipt_key (key)",
)
_CATCH_UP = {
    "sqlite": "INSERT INTO temp.tmtp_receipt_key (id, key) SELECT id, key FROM tmtp_receipt"
    " WHERE id > coalesce((SELECT max(id) FROM temp.tmtp_receipt_key), 0)"
}
_FORGET = {
    "sqlite": "DELETE FROM temp.tmtp_receipt_key"
    " WHERE id < coalesce((SELECT min(id) FROM tmtp_receipt), (SELECT max(id) FROM temp.tmtp_receipt_key))"
}
_RECEIPTS = {
    "sqlite": "SELECT receipt.key, digest, number FROM temp.tmtp_receipt_key AS known"
    " JOIN tmtp_receipt AS receipt ON receipt.id = known.id"
    " WHERE known.key IN (SELECT value FROM json_each(?)) ORDER BY known.id",
    "postgresql": "SELECT key, digest, number FROM tmtp_receipt WHERE key = ANY(%s::bigint[]) ORDER BY id",
}
_ADD_RECEIPTS = {
    "sqlite": "INSERT INTO tmtp_receipt (key, digest, number) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_receipt (key, digest, number)"
    " SELECT * FROM unnest(%s::bigint[], %b::bytea[], %s::bigint[])",
}
_ADD_REPORTS = {
    "sqlite": "INSERT INTO tmtp_report (message_id, node_id) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_report (message_id, node_id) SELECT * FROM unnest(%s::bigint[], %s::bigint[])",
}
_NOTE_SENT = {
    "sqlite": "UPDATE tmtp_report SET sent = coalesce(sent, note.column3) FROM (VALUES {rows}) AS note"
    " WHERE node_id = note.column1 AND message_id = note.column2",
    "postgresql": "UPDATE tmtp_report AS report SET sent = coalesce(sent, note.at)"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS note (node, number, at)"
    " WHERE report.node_id = note.node AND report.message_id = note.number",
}
# A message that a device has acknowledged is delivered, even if it was recalled before.
_NOTE_ACKNOWLEDGED = {
    "sqlite": "UPDATE tmtp_report SET acknowledged = coalesce(acknowledged, note.column3), ended = NULL,"
    ' "end" = NULL FROM (VALUES {rows}) AS note'
    " WHERE node_id = note.column1 AND message_id = note.column2",
    "postgresql": "UPDATE tmtp_report AS report SET acknowledged = coalesce(acknowledged, note.at), ended = NULL,"
    ' "end" = NULL FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS note (node, number, at)'
    " WHERE report.node_id = note.node AND report.message_id = note.number",
}
_END_REPORTS = {
    "sqlite": 'UPDATE tmtp_report SET ended = note.column3, "end" = note.column4 FROM (VALUES {rows}) AS note'
    " WHERE node_id = note.column1 AND message_id = note.column2"
    " AND acknowledged IS NULL AND read IS NULL AND ended IS NULL",
    "postgresql": 'UPDATE tmtp_report AS report SET ended = note.at, "end" = note.why'
    " FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::smallint[]) AS note (node, number, at, why)"
    " WHERE report.node_id = note.node AND report.message_id = note.number"
    " AND acknowledged IS NULL AND read IS NULL AND ended IS NULL",
}
_PURGE_RECEIPTS = {
    "sqlite": "DELETE FROM tmtp_receipt WHERE number < ? AND id IN"
    " (SELECT id FROM tmtp_receipt WHERE id > 0 ORDER BY id LIMIT ?) RETURNING 1",
    "postgresql": "DELETE FROM tmtp_receipt WHERE number < %s AND id = ANY (ARRAY"
    " (SELECT id FROM tmtp_receipt WHERE id > 0 ORDER BY id LIMIT %s)) RETURNING 1",
}


def add_reports(rows: Sequence[tuple[int, int]]) -> None:
    """Insert empty reports: (message id, node id)."""
    run_many(_ADD_REPORTS, rows)


def note_sent(rows: Sequence[tuple[int, int, datetime]]) -> None:
    """Note that tracked messages were sent to nodes: (node id, message id, when)."""
    run_many(_NOTE_SENT, [(node, number, stored_time(at)) for node, number, at in rows])


def note_acknowledged(rows: Sequence[tuple[int, int, datetime]]) -> None:
    """Note that nodes have acknowledged tracked messages: (node id, message id, when)."""
    run_many(_NOTE_ACKNOWLEDGED, [(node, number, stored_time(at)) for node, number, at in rows])


def end_reports(rows: Sequence[tuple[int, int, datetime, int]]) -> None:
    """Note that nodes will not get tracked messages any more: (node id, message id, when, why)."""
    run_many(_END_REPORTS, [(node, number, stored_time(at), why) for node, number, at, why in rows])


def receipts(keys: Iterable[int]) -> list[Row]:
    """Return (key, digest, number) of the receipts with these keys, the latest ones last."""
    if vendor() == "sqlite":
        _run_on_index(_CATCH_UP)
    return fetch(_RECEIPTS, (array(keys),))


def add_receipts(rows: Sequence[Row]) -> None:
    """Insert receipts: (key, digest, number)."""
    run_many(_ADD_RECEIPTS, rows)


def purge_receipts(before: int, limit: int) -> int:
    """Delete receipts numbered below `before` among the `limit` oldest, and return how many."""
    purged = fetch(_PURGE_RECEIPTS, (before, limit))
    if vendor() == "sqlite":
        _run_on_index(_FORGET)
    return len(purged)


def _run_on_index(statement: Statement) -> None:
    """Run a statement on the index of this connection, which is made when it is not there."""
    try:
        run(statement, ())
    except OperationalError as error:  # only if it is not there: others may have ended the transaction
        if "no such table: temp." not in str(error):
            raise
        for text in _INDEX_RECEIPTS:
            run({"sqlite": text}, ())
        run(statement, ())
