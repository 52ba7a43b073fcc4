"""The quota of nodes: how many messages wait for a node, and which nodes are full.

A node is full when more than TMTP["LIMITS"]["waiting_per_node"] messages wait for it. `messages.sweeping` counts them
and sets `Node.full_since`. While all nodes of a user are full, messages to this user by name are refused: the sender
gets an error, and nothing is dropped. Messages to a group are not refused, since one absent member would otherwise
silence the group.

Counts stop at a limit, so that a page loads fast even when millions of messages wait.
"""

from __future__ import annotations

from django.db.models import Exists, IntegerField, OuterRef, Q, QuerySet, Subquery

from ...models import Node, QueueEntry


class RowsOf(Subquery):
    """The number of rows that a subquery returns. The subquery should have a limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS looked_at)"
    output_field = IntegerField()


def entries_of_each() -> QuerySet[QueueEntry]:
    """Return the queue entries of the outer query's node, in the order of its queue."""
    return QueueEntry.objects.filter(node=OuterRef("pk")).order_by("rank", "message_id")


def with_count(nodes: QuerySet[Node], most: int) -> QuerySet[Node]:
    """Annotate nodes with `waiting`: the number of messages that wait for each, at most `most` + 1."""
    return nodes.annotate(waiting=RowsOf(entries_of_each().values("message_id")[: most + 1]))


def is_full() -> Q:
    """Return a condition for users: true for a user who has nodes in use, all of them full."""
    in_use = Node.objects.filter(user=OuterRef("pk"), dropped=None)
    return Exists(in_use) & ~Exists(in_use.filter(full_since=None))
