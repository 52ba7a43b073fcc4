"""Statements on nodes, names, and the leases of servers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from ..dialect import Row, array, fetch, run, run_many, stored_time, vendor

_NODE_BY_SECRET = {
    "sqlite": "SELECT node.id, node.user_id, uid, node.server_id, (SELECT json_group_array(id) FROM tmtp_node AS own"
    " WHERE own.user_id = node.user_id AND own.dropped IS NULL AND own.kind = 1),"
    " presence <> 1 OR blocks_someone FROM tmtp_node AS node"
    " JOIN tmtp_user AS account ON account.id = node.user_id"
    " WHERE secret = ? AND node.dropped IS NULL AND disabled IS NULL",
    "postgresql": "SELECT node.id, node.user_id, uid, node.server_id, ARRAY(SELECT id FROM tmtp_node AS own"
    " WHERE own.user_id = node.user_id AND own.dropped IS NULL AND own.kind = 1),"
    " presence <> 1 OR blocks_someone FROM tmtp_node AS node"
    " JOIN tmtp_user AS account ON account.id = node.user_id"
    " WHERE secret = %b AND node.dropped IS NULL AND disabled IS NULL",
}
_ADD_NAME = {
    "sqlite": "INSERT INTO tmtp_alias (name, skeleton, folded, user_id, group_id, created) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING RETURNING 1",
    "postgresql": "INSERT INTO tmtp_alias (name, skeleton, folded, user_id, group_id, created)"
    " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1",
}
_ADD_NODES = {
    "sqlite": "INSERT INTO tmtp_node (user_id, kind, secret, label, created) VALUES {rows}",
    "postgresql": "INSERT INTO tmtp_node (user_id, kind, secret, label, created)"
    " SELECT * FROM unnest(%s::bigint[], %s::smallint[], %b::bytea[], %s::text[], %s::timestamptz[])",
}
_CLAIM_NODE = {
    "sqlite": "UPDATE tmtp_node SET server_id = ?, last_seen = ?, start_over = NULL, contested = NULL"
    " WHERE id = ? AND server_id IS ? AND dropped IS NULL",
    "postgresql": "UPDATE tmtp_node SET server_id = %s, last_seen = %s, start_over = NULL, contested = NULL"
    " WHERE id = %s AND server_id IS NOT DISTINCT FROM %s AND dropped IS NULL",
}
_RELEASE_NODE = {
    "sqlite": "UPDATE tmtp_node SET server_id = NULL, last_seen = ? WHERE id = ? AND server_id = ?",
    "postgresql": "UPDATE tmtp_node SET server_id = NULL, last_seen = %s WHERE id = %s AND server_id = %s",
}
_MARKED_NODES = {
    "sqlite": "SELECT id, dropped IS NOT NULL, start_over IS NOT NULL, privacy_changed IS NOT NULL,"
    " contested IS NOT NULL FROM tmtp_node WHERE server_id = ? AND (dropped IS NOT NULL OR start_over IS NOT NULL"
    " OR privacy_changed IS NOT NULL OR contested IS NOT NULL)",
    "postgresql": "SELECT id, dropped IS NOT NULL, start_over IS NOT NULL, privacy_changed IS NOT NULL,"
    " contested IS NOT NULL FROM tmtp_node WHERE server_id = %s AND (dropped IS NOT NULL OR start_over IS NOT NULL"
    " OR privacy_changed IS NOT NULL OR contested IS NOT NULL)",
}
_NODES_AT = {
    "sqlite": "SELECT id FROM tmtp_node WHERE id IN (SELECT value FROM json_each(?)) AND +server_id = ?"
    " AND dropped IS NULL",
    "postgresql": "SELECT id FROM tmtp_node WHERE id = ANY(%s::bigint[]) AND server_id = %s AND dropped IS NULL",
}
_SERVERS_OF_NODES = {
    "sqlite": "SELECT id, server_id FROM tmtp_node WHERE id IN (SELECT value FROM json_each(?))"
    " AND server_id IS NOT NULL",
    "postgresql": "SELECT id, server_id FROM tmtp_node WHERE id = ANY(%s::bigint[]) AND server_id IS NOT NULL",
}
_RENEW_LEASES = {
    "sqlite": "UPDATE tmtp_serverlease SET seen = strftime('%Y-%m-%d %H:%M:%f', 'now'), suspected = NULL, batch = ?"
    " WHERE id IN (SELECT value FROM json_each(?)) RETURNING id, NULL",
    "postgresql": "UPDATE tmtp_serverlease SET seen = statement_timestamp(), suspected = NULL, batch = %s"
    " WHERE id = ANY(%s::bigint[]) RETURNING id, (extract(epoch FROM clock_timestamp()) * 1e9)::bigint",
}
_LEASE_BATCH = {
    "sqlite": "SELECT batch FROM tmtp_serverlease WHERE id = ?",
    "postgresql": "SELECT batch FROM tmtp_serverlease WHERE id = %s FOR UPDATE",
}


def node_by_secret(secret: bytes) -> Row | None:
    """Return the node in use with this hash, or None. A node of a user who is disabled is not in use.

    (id, user id, uid, server id or None, ids of the user's devices, whether the user limits their presence or blocks).
    """
    rows = fetch(_NODE_BY_SECRET, (secret,))
    if not rows:
        return None
    *node, own, guarded = rows[0]
    return (*node, own if vendor() == "postgresql" else msgspec.json.decode(own), bool(guarded))


def add_nodes(rows: Sequence[tuple[int, int, bytes, str, datetime]]) -> None:
    """Insert nodes: (user id, kind, hash of the secret, label, when)."""
    run_many(_ADD_NODES, [(user, kind, secret, label, stored_time(at)) for user, kind, secret, label, at in rows])


def claim_node(node: int, before: int | None, server: int, seen: datetime) -> bool:
    """Connect a node to a server. Return False when it was dropped, or is no longer connected to `before`."""
    return bool(run(_CLAIM_NODE, (server, stored_time(seen), node, before)).rowcount)


def release_node(node: int, server: int, seen: datetime) -> None:
    """Note that a node is no longer connected to a server, if it was."""
    run(_RELEASE_NODE, (stored_time(seen), node, server))


def marked_nodes(server: int) -> list[Row]:
    """Return the nodes connected to a server that it must be told something about.

    (id, whether it was dropped, whether it starts over, whether the privacy of its user has changed, whether it logs
    in at another server).
    """
    return fetch(_MARKED_NODES, (server,))


def nodes_at(server: int, nodes: Iterable[int]) -> set[int]:
    """Return those of the nodes that are connected to a server and in use."""
    return {node for (node,) in fetch(_NODES_AT, (array(nodes), server))}


def servers_of_nodes(nodes: Iterable[int]) -> list[Row]:
    """Return those of the nodes that are connected: (id, server id)."""
    return fetch(_SERVERS_OF_NODES, (array(nodes),))


def add_name(name: str, skeleton: str, folded: str, user: int | None, group: int | None, created: datetime) -> bool:
    """Take a name for a user or a group. Return False when it, or one that looks like it, is taken."""
    return bool(fetch(_ADD_NAME, (name, skeleton, folded, user, group, stored_time(created))))


def renew_leases(leases: Iterable[int], batch: int) -> tuple[set[int], int | None]:
    """Note that servers were seen now, and which batch commits with this.

    Return the leases that still exist, and the time of the database's own clock in nanoseconds, if it has one.
    """
    rows = fetch(_RENEW_LEASES, (batch, array(leases)))
    return {lease for lease, _ in rows}, max((told for _, told in rows if told), default=None)


def lease_batch(lease: int) -> int:
    """Return the last batch committed with a lease, 0 when the lease is gone. Wait for one that may still commit."""
    rows = fetch(_LEASE_BATCH, (lease,))
    return int(rows[0][0]) if rows else 0
