"""The SQL statements of the hot path, for both databases, by subject. `dialect` runs them.

Each takes many rows at once, so that a batch of the store needs few statements. Django's bulk_create is five times
slower (docs/decisions/0002-sql-for-the-hot-path.md).
"""

from __future__ import annotations

from .limits import open_at, purge_counts, set_open, spend
from .nodes import (
    add_name,
    add_nodes,
    claim_node,
    lease_batch,
    marked_nodes,
    node_by_secret,
    nodes_at,
    release_node,
    renew_leases,
    servers_of_nodes,
)
from .queue import (
    add_entries,
    add_messages,
    add_missing_entries,
    clear_queue,
    copy_queue,
    delete_entries,
    delete_finished,
    entries_after,
    messages,
    newer_nodes,
    newer_nodes_of_users,
    newest_entry,
    newest_message,
    read_page,
    waiting,
)
from .recipients import (
    blocks_among,
    devices_of_users,
    group_sizes,
    nodes_of_gids,
    nodes_of_group,
    nodes_of_uids,
    nodes_of_users,
    users_without_node,
)
from .records import (
    add_receipts,
    add_reports,
    end_reports,
    note_acknowledged,
    note_sent,
    purge_receipts,
    receipts,
)

__all__ = [
    "add_entries",
    "add_messages",
    "add_missing_entries",
    "add_name",
    "add_nodes",
    "add_receipts",
    "add_reports",
    "blocks_among",
    "claim_node",
    "clear_queue",
    "copy_queue",
    "delete_entries",
    "delete_finished",
    "devices_of_users",
    "end_reports",
    "entries_after",
    "group_sizes",
    "lease_batch",
    "marked_nodes",
    "messages",
    "newer_nodes",
    "newer_nodes_of_users",
    "newest_entry",
    "newest_message",
    "node_by_secret",
    "nodes_at",
    "nodes_of_gids",
    "nodes_of_group",
    "nodes_of_uids",
    "nodes_of_users",
    "note_acknowledged",
    "note_sent",
    "open_at",
    "purge_counts",
    "purge_receipts",
    "read_page",
    "receipts",
    "release_node",
    "renew_leases",
    "servers_of_nodes",
    "set_open",
    "spend",
    "users_without_node",
    "waiting",
]
