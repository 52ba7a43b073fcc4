"""The hot statements in both dialects. Rows go to the database as arrays, a handful of statements for a batch.

bulk_create is five times slower than these (docs/decisions/0002-sql-for-the-hot-path.md). `dialect` runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from django.db import connection

from .dialect import Row, array, fetch, fetch_packed, run, run_many, stored_time

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
_NODES_OF_UIDS = {
    "sqlite": "SELECT json_group_array(json_array(uid, account.id, node.id, blocks_someone, full_since IS NOT NULL))"
    " FROM tmtp_user AS account"
    " LEFT JOIN tmtp_node AS node"
    " ON node.user_id = account.id AND node.dropped IS NULL WHERE uid IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT uid, account.id, node.id, blocks_someone, full_since IS NOT NULL FROM tmtp_user AS account"
    " LEFT JOIN tmtp_node AS node ON node.user_id = account.id AND node.dropped IS NULL WHERE uid = ANY(%s::text[])",
}
_NODES_OF_GIDS = {
    "sqlite": "SELECT json_group_array(json_array(gid, member.user_id, status, node.id)) FROM tmtp_group AS circle"
    " LEFT JOIN tmtp_member AS member ON member.group_id = circle.id LEFT JOIN tmtp_node AS node"
    " ON node.user_id = member.user_id AND node.dropped IS NULL WHERE gid IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT gid, member.user_id, status, node.id FROM tmtp_group AS circle"
    " LEFT JOIN tmtp_member AS member ON member.group_id = circle.id LEFT JOIN tmtp_node AS node"
    " ON node.user_id = member.user_id AND node.dropped IS NULL WHERE gid = ANY(%s::text[])",
}
_BLOCKS_AMONG = {
    "sqlite": "SELECT user_id, blocked_id FROM tmtp_block WHERE user_id IN (SELECT value FROM json_each(?))"
    " AND blocked_id IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT user_id, blocked_id FROM tmtp_block WHERE user_id = ANY(%s::bigint[])"
    " AND blocked_id = ANY(%s::bigint[])",
}
_GROUP_SIZES = {
    "sqlite": "SELECT gid, circle.id, (SELECT count(*) FROM (SELECT 1 FROM tmtp_member WHERE group_id = circle.id"
    " LIMIT ?) AS counted) FROM tmtp_group AS circle WHERE gid IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT gid, circle.id, (SELECT count(*) FROM (SELECT 1 FROM tmtp_member WHERE group_id = circle.id"
    " LIMIT %s) AS counted) FROM tmtp_group AS circle WHERE gid = ANY(%s::text[])",
}
_NODES_OF_GROUP = {
    "sqlite": "SELECT json_group_array(json_array(user_id, node_id)) FROM (SELECT member.user_id, node.id AS node_id"
    " FROM tmtp_member AS member JOIN tmtp_node AS node ON node.user_id = member.user_id AND node.dropped IS NULL"
    " WHERE group_id = ? AND status = 2 AND member.user_id >= ? AND node.user_id >= ?"
    " AND (member.user_id, node.id) > (?, ?)"
    " ORDER BY member.user_id, node.id LIMIT ?) AS counted",
    "postgresql": "SELECT member.user_id, node.id"
    " FROM tmtp_member AS member JOIN tmtp_node AS node ON node.user_id = member.user_id AND node.dropped IS NULL"
    " WHERE group_id = %s AND status = 2 AND member.user_id >= %s AND node.user_id >= %s"
    " AND (member.user_id, node.id) > (%s, %s)"
    " ORDER BY member.user_id, node.id LIMIT %s",
}
_NEWER_NODES = {
    "sqlite": "SELECT id FROM tmtp_node AS node WHERE id > ?"
    " AND (SELECT 1 FROM tmtp_queueentry WHERE node_id = node.id AND rank = ? AND message_id = ?) = 1",
    "postgresql": "SELECT id FROM tmtp_node AS node WHERE id > %s"
    " AND (SELECT 1 FROM tmtp_queueentry WHERE node_id = node.id AND rank = %s AND message_id = %s) = 1",
}
_ENTRIES_AFTER = {
    "sqlite": "SELECT node_id, rank, message_id FROM tmtp_queueentry WHERE (node_id, rank, message_id) > (?, ?, ?)"
    " ORDER BY node_id, rank, message_id LIMIT ?",
    "postgresql": "SELECT node_id, rank, message_id FROM tmtp_queueentry"
    " WHERE (node_id, rank, message_id) > (%s, %s, %s) ORDER BY node_id, rank, message_id LIMIT %s",
}
_RECEIPTS = {
    "sqlite": "SELECT key, digest, number FROM tmtp_receipt WHERE key IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT key, digest, number FROM tmtp_receipt WHERE key = ANY(%s::bigint[])",
}
_ADD_RECEIPTS = {
    "sqlite": "INSERT OR REPLACE INTO tmtp_receipt (key, digest, number) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_receipt (key, digest, number)"
    " SELECT * FROM unnest(%s::bigint[], %b::bytea[], %s::bigint[])"
    " ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, number = excluded.number",
}
_NODE_BY_SECRET = {
    "sqlite": "SELECT node.id, node.user_id, uid, node.server_id, (SELECT json_group_array(id) FROM tmtp_node AS own"
    " WHERE own.user_id = node.user_id AND own.dropped IS NULL AND own.kind = 1),"
    " presence <> 1 OR blocks_someone FROM tmtp_node AS node"
    " JOIN tmtp_user AS account ON account.id = node.user_id WHERE secret = ? AND node.dropped IS NULL",
    "postgresql": "SELECT node.id, node.user_id, uid, node.server_id, ARRAY(SELECT id FROM tmtp_node AS own"
    " WHERE own.user_id = node.user_id AND own.dropped IS NULL AND own.kind = 1),"
    " presence <> 1 OR blocks_someone FROM tmtp_node AS node"
    " JOIN tmtp_user AS account ON account.id = node.user_id WHERE secret = %b AND node.dropped IS NULL",
}
_ADD_NAME = {
    "sqlite": "INSERT INTO tmtp_alias (name, skeleton, user_id, group_id, created) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING RETURNING 1",
    "postgresql": "INSERT INTO tmtp_alias (name, skeleton, user_id, group_id, created) VALUES (%s, %s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING RETURNING 1",
}
_NODES_OF_USERS = {
    "sqlite": "SELECT json_group_array(json_array(id)) FROM tmtp_node"
    " WHERE user_id IN (SELECT value FROM json_each(?)) AND dropped IS NULL",
    "postgresql": "SELECT id FROM tmtp_node WHERE user_id = ANY(%s::bigint[]) AND dropped IS NULL",
}
_DEVICES_OF_USERS = {dialect: f"{statement} AND kind = 1" for dialect, statement in _NODES_OF_USERS.items()}
_USERS_WITHOUT_NODE = {
    "sqlite": "SELECT id FROM tmtp_user WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS"
    " (SELECT 1 FROM tmtp_node WHERE user_id = tmtp_user.id AND dropped IS NULL) ORDER BY id",
    "postgresql": "SELECT id FROM tmtp_user WHERE id = ANY(%s::bigint[]) AND NOT EXISTS"
    " (SELECT 1 FROM tmtp_node WHERE user_id = tmtp_user.id AND dropped IS NULL) ORDER BY id",
}
_ADD_NODES = {
    "sqlite": "INSERT INTO tmtp_node (user_id, kind, secret, label, created) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_node (user_id, kind, secret, label, created)"
    " SELECT * FROM unnest(%s::bigint[], %s::smallint[], %b::bytea[], %s::text[], %s::timestamptz[])",
}
_CLAIM_NODE = {
    "sqlite": "UPDATE tmtp_node SET server_id = ?, last_seen = ?, start_over = NULL WHERE id = ?",
    "postgresql": "UPDATE tmtp_node SET server_id = %s, last_seen = %s, start_over = NULL WHERE id = %s",
}
_RELEASE_NODE = {
    "sqlite": "UPDATE tmtp_node SET server_id = NULL, last_seen = ? WHERE id = ? AND server_id = ?",
    "postgresql": "UPDATE tmtp_node SET server_id = NULL, last_seen = %s WHERE id = %s AND server_id = %s",
}
_RENEW_LEASE = {
    "sqlite": "UPDATE tmtp_serverlease SET seen = ?, batch = ? WHERE id = ?",
    "postgresql": "UPDATE tmtp_serverlease SET seen = %s, batch = %s WHERE id = %s",
}
_LEASE_BATCH = {
    "sqlite": "SELECT batch FROM tmtp_serverlease WHERE id = ?",
    "postgresql": "SELECT batch FROM tmtp_serverlease WHERE id = %s FOR UPDATE",
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
# What a device has is delivered, though it was to be recalled.
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
    "sqlite": "DELETE FROM tmtp_receipt WHERE key IN"
    " (SELECT key FROM tmtp_receipt WHERE number < ? ORDER BY number LIMIT ?) RETURNING 1",
    "postgresql": "DELETE FROM tmtp_receipt WHERE key = ANY (ARRAY"
    " (SELECT key FROM tmtp_receipt WHERE number < %s ORDER BY number LIMIT %s)) RETURNING 1",
}


def add_messages(rows: Sequence[Row]) -> None:
    """Insert messages: (id, op, sender id, head, body, spool, size, secret, tracked)."""
    run_many(_ADD_MESSAGES, rows)


def add_entries(rows: Sequence[Row]) -> None:
    """Insert queue entries: (node id, rank, message id)."""
    run_many(_ADD_ENTRIES, rows)


def add_missing_entries(rows: Sequence[Row]) -> None:
    """Insert those of the queue entries that are not there yet."""
    run_many(_ADD_MISSING_ENTRIES, rows)


def delete_entries(rows: Sequence[Row]) -> None:
    """Delete queue entries: (node id, rank, message id)."""
    run_many(_DELETE_ENTRIES, rows)


def delete_finished(numbers: Iterable[int]) -> list[str]:
    """Delete those of the messages that wait for nobody; gives the spool files they leave behind."""
    return [spool for (spool,) in fetch(_DELETE_MESSAGES, (array(numbers),)) if spool]


def read_page(node: int, limit: int) -> list[Row]:
    """The first messages waiting for a node: (id, rank, head, body, spool, size, secret, tracked)."""
    return fetch(_PAGE, (node, limit))


def waiting(nodes: Iterable[int], limit: int) -> list[Row]:
    """What waits for the nodes: (node id, message id), at most `limit` in all."""
    return fetch(_WAITING, (array(nodes), limit))


def copy_queue(to_node: int, from_node: int) -> None:
    """Let all that waits for one node wait for another, too; what waits there already does so once."""
    run(_COPY_QUEUE, (to_node, from_node))


def clear_queue(node: int) -> list[int]:
    """Delete a node's entries; gives the numbers of their messages."""
    return [number for (number,) in fetch(_CLEAR_QUEUE, (node,))]


def entries_after(entry: tuple[int, int, int], limit: int) -> list[tuple[int, int, int]]:
    """The entries that follow one, in the order of their key: (node id, rank, message id)."""
    return [(node, rank, number) for node, rank, number in fetch(_ENTRIES_AFTER, (*entry, limit))]


def nodes_of_uids(uids: Iterable[str]) -> list[Row]:
    """(uid, user id, node id or None, whether they block anyone, whether it is full) for each node of the users."""
    return fetch_packed(_NODES_OF_UIDS, (array(uids),))


def nodes_of_gids(gids: Iterable[str]) -> list[Row]:
    """(gid, user id or None, status or None, node id or None) for each node of each member of each group."""
    return fetch_packed(_NODES_OF_GIDS, (array(gids),))


def blocks_among(users: Iterable[int], others: Iterable[int]) -> list[Row]:
    """(user id, blocked user id) of those of the users who block some of the others."""
    return fetch(_BLOCKS_AMONG, (array(users), array(others)))


def group_sizes(gids: Iterable[str], most: int) -> dict[str, tuple[int, int]]:
    """(group id, how many members it has, at most `most`) of each group that exists, by gid."""
    return {gid: (group, members) for gid, group, members in fetch(_GROUP_SIZES, (most, array(gids)))}


def nodes_of_group(group: int, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """The next (user id, node id) of the joined members of a group, in this order, after those."""
    return [(user, node) for user, node in fetch_packed(_NODES_OF_GROUP, (group, after[0], after[0], *after, limit))]


def newer_nodes(than: int, rank: int, number: int) -> list[int]:
    """The nodes with ids above `than` that the message waits for."""
    return [node for (node,) in fetch(_NEWER_NODES, (than, rank, number))]


def receipts(keys: Iterable[int]) -> list[Row]:
    """(key, digest, number) of the receipts kept."""
    return fetch(_RECEIPTS, (array(keys),))


def add_receipts(rows: Sequence[Row]) -> None:
    """Keep receipts: (key, digest, number)."""
    run_many(_ADD_RECEIPTS, rows)


def purge_receipts(before: int, limit: int) -> int:
    """Forget receipts numbered below `before`, at most `limit`; gives how many."""
    return len(fetch(_PURGE_RECEIPTS, (before, limit)))


def renew_lease(lease: int, seen: datetime, batch: int) -> bool:
    """Note when a server was seen, and which batch it commits with this; False when the lease is gone."""
    return bool(run(_RENEW_LEASE, (stored_time(seen), batch, lease)).rowcount)


def node_by_secret(secret: bytes) -> Row | None:
    """The node in use with this hash, or None.

    (id, user id, uid, server id or None, ids of the user's devices, whether the user limits their presence or blocks).
    """
    rows = fetch(_NODE_BY_SECRET, (secret,))
    if not rows:
        return None
    *node, own, guarded = rows[0]
    return (*node, own if connection.vendor == "postgresql" else msgspec.json.decode(own), bool(guarded))


def add_name(name: str, skeleton: str, user: int | None, group: int | None, created: datetime) -> bool:
    """Take a name for a user or a group; False when it, or one that looks like it, is taken."""
    return bool(fetch(_ADD_NAME, (name, skeleton, user, group, stored_time(created))))


def nodes_of_users(users: Iterable[int]) -> list[int]:
    """The ids of the nodes in use of the users."""
    return [node for (node,) in fetch_packed(_NODES_OF_USERS, (array(users),))]


def devices_of_users(users: Iterable[int]) -> list[int]:
    """The ids of the devices in use of the users."""
    return [node for (node,) in fetch_packed(_DEVICES_OF_USERS, (array(users),))]


def add_reports(rows: Sequence[tuple[int, int]]) -> None:
    """Insert reports of which there is nothing to say yet: (message id, node id)."""
    run_many(_ADD_REPORTS, rows)


def note_sent(rows: Sequence[tuple[int, int, datetime]]) -> None:
    """Nodes were sent tracked messages: (node id, message id, when)."""
    run_many(_NOTE_SENT, [(node, number, stored_time(at)) for node, number, at in rows])


def note_acknowledged(rows: Sequence[tuple[int, int, datetime]]) -> None:
    """Nodes have acknowledged tracked messages: (node id, message id, when)."""
    run_many(_NOTE_ACKNOWLEDGED, [(node, number, stored_time(at)) for node, number, at in rows])


def users_without_node(users: Iterable[int]) -> list[int]:
    """Those of the users who have no node in use."""
    return [user for (user,) in fetch(_USERS_WITHOUT_NODE, (array(users),))]


def add_nodes(rows: Sequence[tuple[int, int, bytes, str, datetime]]) -> None:
    """Insert nodes: (user id, kind, hash of the secret, label, when)."""
    run_many(_ADD_NODES, [(user, kind, secret, label, stored_time(at)) for user, kind, secret, label, at in rows])


def end_reports(rows: Sequence[tuple[int, int, datetime, int]]) -> None:
    """Tracked messages will not get to nodes any more: (node id, message id, when, why)."""
    run_many(_END_REPORTS, [(node, number, stored_time(at), why) for node, number, at, why in rows])


def claim_node(node: int, server: int, seen: datetime) -> None:
    """A node is connected to a server."""
    run(_CLAIM_NODE, (server, stored_time(seen), node))


def release_node(node: int, server: int, seen: datetime) -> None:
    """A node is no longer connected to a server, if it was."""
    run(_RELEASE_NODE, (stored_time(seen), node, server))


def lease_batch(lease: int) -> int:
    """The last batch that was committed with a lease, 0 when the lease is gone. Waits for one that still may be."""
    rows = fetch(_LEASE_BATCH, (lease,))
    return int(rows[0][0]) if rows else 0
