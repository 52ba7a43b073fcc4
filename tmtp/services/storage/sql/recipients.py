"""Statements that find the nodes of users and of group members, and who blocks whom."""

from __future__ import annotations

from collections.abc import Iterable

from ..dialect import Row, array, fetch, fetch_packed

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
# Who moderates is looked up for announcement groups only: the others cost nothing.
_GROUP_SIZES = {
    "sqlite": "SELECT gid, circle.id, (SELECT count(*) FROM (SELECT 1 FROM tmtp_member WHERE group_id = circle.id"
    " LIMIT ?) AS counted), CASE WHEN posting = 2 THEN (SELECT coalesce(group_concat(user_id), '') FROM tmtp_member"
    " WHERE group_id = circle.id AND role > 1) END FROM tmtp_group AS circle"
    " WHERE gid IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT gid, circle.id, (SELECT count(*) FROM (SELECT 1 FROM tmtp_member WHERE group_id = circle.id"
    " LIMIT %s) AS counted), CASE WHEN posting = 2 THEN (SELECT coalesce(string_agg(user_id::text, ','), '')"
    " FROM tmtp_member WHERE group_id = circle.id AND role > 1) END FROM tmtp_group AS circle"
    " WHERE gid = ANY(%s::text[])",
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


def nodes_of_uids(uids: Iterable[str]) -> list[Row]:
    """Return (uid, user id, node id or None, whether they block anyone, whether it is full) for each node in use."""
    return fetch_packed(_NODES_OF_UIDS, (array(uids),))


def nodes_of_gids(gids: Iterable[str]) -> list[Row]:
    """Return (gid, user id or None, status or None, node id or None) for each node of each member of each group."""
    return fetch_packed(_NODES_OF_GIDS, (array(gids),))


def blocks_among(users: Iterable[int], others: Iterable[int]) -> list[Row]:
    """Return (user id, blocked user id) for the users who block some of the others."""
    return fetch(_BLOCKS_AMONG, (array(users), array(others)))


def group_sizes(gids: Iterable[str], most: int) -> list[Row]:
    """Return (gid, group id, number of members, moderators) for each group that exists.

    The number is at most `most`. The moderators are those who may post to it: user ids, separated by commas. They are
    None if all members may.
    """
    return fetch(_GROUP_SIZES, (most, array(gids)))


def nodes_of_group(group: int, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """Return the next (user id, node id) of the joined members of a group that follow `after`, in this order."""
    return [(user, node) for user, node in fetch_packed(_NODES_OF_GROUP, (group, after[0], after[0], *after, limit))]


def nodes_of_users(users: Iterable[int]) -> list[int]:
    """Return the ids of the nodes in use of the users."""
    return [node for (node,) in fetch_packed(_NODES_OF_USERS, (array(users),))]


def devices_of_users(users: Iterable[int]) -> list[int]:
    """Return the ids of the devices in use of the users."""
    return [node for (node,) in fetch_packed(_DEVICES_OF_USERS, (array(users),))]


def users_without_node(users: Iterable[int]) -> list[int]:
    """Return the users who have no node in use."""
    return [user for (user,) in fetch(_USERS_WITHOUT_NODE, (array(users),))]
