"""Statements on messages and on the queue entries of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ..dialect import Row, array, fetch, run, run_many, vendor

_ADD_MESSAGES = {
    "sqlite": "INSERT INTO tmtp_message (id, op, sender_id, head, body, spool, size, secret, tracked) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_message (id, op, sender_id, head, body, spool, size, secret, tracked)"
    " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %b::bytea[], %b::bytea[], %s::text[],"
    " %s::bigint[], %s::text[], %s::bool[])",
}
_ADD_ENTRIES = {
    "sqlite": "INSERT INTO tmtp_queueentry (node_id, rank, message_id) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_queueentry (node_id, rank, message_id)"
    " SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[])",
}
_ADD_MISSING_ENTRIES = {
    "sqlite": "INSERT OR IGNORE INTO tmtp_queueentry (node_id, rank, message_id) VALUES {rows}",
    "postgresql": _ADD_ENTRIES["postgresql"] + " ON CONFLICT DO NOTHING",
}
_DELETE_ENTRIES = {
    "sqlite": "DELETE FROM tmtp_queueentry WHERE rowid IN (SELECT entry.rowid FROM (VALUES {rows}) AS acked"
    " CROSS JOIN tmtp_queueentry AS entry ON entry.node_id = acked.column1 AND entry.rank = acked.column2"
    " AND entry.message_id = acked.column3)",
    "postgresql": "DELETE FROM tmtp_queueentry AS entry"
    " USING unnest(%s::bigint[], %s::smallint[], %s::bigint[]) AS acked (node_id, rank, message_id)"
    " WHERE entry.node_id = acked.node_id AND entry.rank = acked.rank AND entry.message_id = acked.message_id",
}
_DELETE_MESSAGES = {
    "sqlite": "DELETE FROM tmtp_message WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS"
    " (SELECT 1 FROM tmtp_queueentry WHERE message_id = tmtp_message.id) RETURNING spool",
    "postgresql": "DELETE FROM tmtp_message WHERE id = ANY(%s::bigint[]) AND NOT EXISTS"
    " (SELECT 1 FROM tmtp_queueentry WHERE message_id = tmtp_message.id) RETURNING spool",
}
_PAGE = {
    "sqlite": "SELECT message.id, rank, head, body, spool, size, secret, tracked FROM tmtp_queueentry"
    " JOIN tmtp_message AS message ON message.id = message_id WHERE node_id = ? ORDER BY rank, message_id LIMIT ?",
    "postgresql": "SELECT message.id, rank, head, body, spool, size, secret, tracked FROM tmtp_queueentry"
    " JOIN tmtp_message AS message ON message.id = message_id WHERE node_id = %s ORDER BY rank, message_id LIMIT %s",
}
_WAITING = {
    "sqlite": "SELECT node_id, message_id FROM tmtp_queueentry WHERE node_id IN (SELECT value FROM json_each(?))"
    " AND (SELECT 1 FROM tmtp_message WHERE id = message_id) = 1 ORDER BY node_id, rank, message_id LIMIT ?",
    "postgresql": "SELECT node_id, message_id FROM tmtp_queueentry WHERE node_id = ANY(%s::bigint[])"
    " AND (SELECT 1 FROM tmtp_message WHERE id = message_id) = 1 ORDER BY node_id, rank, message_id LIMIT %s",
}
_MESSAGES = {
    "sqlite": "SELECT (SELECT json_group_array(node_id) FROM tmtp_queueentry WHERE message_id = message.id), id,"
    " (SELECT rank FROM tmtp_queueentry WHERE message_id = message.id LIMIT 1),"
    " head, body, spool, size, secret, tracked FROM tmtp_message AS message"
    " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
    "postgresql": "SELECT ARRAY(SELECT node_id FROM tmtp_queueentry WHERE message_id = message.id), id,"
    " (SELECT rank FROM tmtp_queueentry WHERE message_id = message.id LIMIT 1),"
    " head, body, spool, size, secret, tracked FROM tmtp_message AS message"
    " WHERE id = ANY(%s::bigint[]) ORDER BY id",
}
_COPY_QUEUE = {
    "sqlite": "INSERT INTO tmtp_queueentry (node_id, rank, message_id)"
    " SELECT ?, rank, message_id FROM tmtp_queueentry WHERE node_id = ? ON CONFLICT DO NOTHING",
    "postgresql": "INSERT INTO tmtp_queueentry (node_id, rank, message_id)"
    " SELECT %s, rank, message_id FROM tmtp_queueentry WHERE node_id = %s ON CONFLICT DO NOTHING",
}
_CLEAR_QUEUE = {
    "sqlite": "DELETE FROM tmtp_queueentry WHERE node_id = ? RETURNING message_id",
    "postgresql": "DELETE FROM tmtp_queueentry WHERE node_id = %s RETURNING message_id",
}
_NEWER_NODES = {
    "sqlite": "SELECT id FROM tmtp_node AS node WHERE id > ?"
    " AND (SELECT 1 FROM tmtp_queueentry WHERE node_id = node.id AND rank = ? AND message_id = ?) = 1",
    "postgresql": "SELECT id FROM tmtp_node AS node WHERE id > %s"
    " AND (SELECT 1 FROM tmtp_queueentry WHERE node_id = node.id AND rank = %s AND message_id = %s) = 1",
}
_NEWER_NODES_OF_USERS = {
    "sqlite": "SELECT DISTINCT newer.id FROM tmtp_node AS newer JOIN tmtp_node AS known"
    " ON known.user_id = newer.user_id WHERE newer.id > ? AND newer.dropped IS NULL"
    " AND known.id IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT DISTINCT newer.id FROM tmtp_node AS newer JOIN tmtp_node AS known"
    " ON known.user_id = newer.user_id WHERE newer.id > %s AND newer.dropped IS NULL AND known.id = ANY(%s::bigint[])",
}
_ENTRIES_AFTER = {
    "sqlite": "SELECT node_id, rank, message_id FROM tmtp_queueentry WHERE (node_id, rank, message_id) > (?, ?, ?)"
    " ORDER BY node_id, rank, message_id LIMIT ?",
    "postgresql": "SELECT node_id, rank, message_id FROM tmtp_queueentry"
    " WHERE (node_id, rank, message_id) > (%s, %s, %s) ORDER BY node_id, rank, message_id LIMIT %s",
}
_NEWEST_ENTRY = {
    "sqlite": "SELECT max(message_id) FROM tmtp_queueentry WHERE node_id = ? AND rank = ?",
    "postgresql": "SELECT max(message_id) FROM tmtp_queueentry WHERE node_id = %s AND rank = %s",
}
_NEWEST_MESSAGE = dict.fromkeys(("sqlite", "postgresql"), "SELECT max(id) FROM tmtp_message")


def add_messages(rows: Sequence[Row]) -> None:
    """Insert messages: (id, op, sender id, head, body, spool, size, secret, tracked)."""
    run_many(_ADD_MESSAGES, rows)


def add_entries(rows: Sequence[Row]) -> None:
    """Insert queue entries: (node id, rank, message id)."""
    run_many(_ADD_ENTRIES, rows)


def add_missing_entries(rows: Sequence[Row]) -> None:
    """Insert the queue entries that are not there yet."""
    run_many(_ADD_MISSING_ENTRIES, rows)


def delete_entries(rows: Sequence[Row]) -> None:
    """Delete queue entries: (node id, rank, message id)."""
    run_many(_DELETE_ENTRIES, rows)


def delete_finished(numbers: Iterable[int]) -> list[str]:
    """Delete the messages that wait for nobody, and return the spool files they leave behind."""
    return [spool for (spool,) in fetch(_DELETE_MESSAGES, (array(numbers),)) if spool]


def read_page(node: int, limit: int) -> list[Row]:
    """Return the first messages waiting for a node: (id, rank, head, body, spool, size, secret, tracked)."""
    return fetch(_PAGE, (node, limit))


def waiting(nodes: Iterable[int], limit: int) -> list[Row]:
    """Return the queue entries of the nodes, at most `limit` in all: (node id, message id)."""
    return fetch(_WAITING, (array(nodes), limit))


def messages(numbers: Iterable[int]) -> list[Row]:
    """Return messages in order: (ids of their nodes, id, rank, head, body, spool, size, secret, tracked)."""
    rows = fetch(_MESSAGES, (array(numbers),))
    if vendor() == "sqlite":
        return [(msgspec.json.decode(nodes), *message) for nodes, *message in rows]
    return rows


def copy_queue(to_node: int, from_node: int) -> None:
    """Copy the queue entries of a node to another node, except for those that it has already."""
    run(_COPY_QUEUE, (to_node, from_node))


def clear_queue(node: int) -> list[int]:
    """Delete a node's entries, and return the numbers of their messages."""
    return [number for (number,) in fetch(_CLEAR_QUEUE, (node,))]


def entries_after(entry: tuple[int, int, int], limit: int) -> list[tuple[int, int, int]]:
    """Return the entries after `entry` in the order of their primary key: (node id, rank, message id)."""
    return [(node, rank, number) for node, rank, number in fetch(_ENTRIES_AFTER, (*entry, limit))]


def newer_nodes(than: int, rank: int, number: int) -> list[int]:
    """Return the nodes with ids above `than` that the message waits for."""
    return [node for (node,) in fetch(_NEWER_NODES, (than, rank, number))]


def newer_nodes_of_users(than: int, nodes: Iterable[int]) -> list[int]:
    """Return the nodes in use with ids above `than` of the users who have these nodes."""
    return [node for (node,) in fetch(_NEWER_NODES_OF_USERS, (than, array(nodes)))]


def newest_entry(node: int, rank: int) -> int:
    """Return the largest number in the queue of a node, 0 if it is empty."""
    return fetch(_NEWEST_ENTRY, (node, rank))[0][0] or 0


def newest_message() -> int:
    """Return the largest number of a message, 0 if there is none."""
    return fetch(_NEWEST_MESSAGE, ())[0][0] or 0
