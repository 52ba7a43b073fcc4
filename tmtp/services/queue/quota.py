"""How much waits for a node, and which nodes are full.

A node is full when more waits for it than TMTP["LIMITS"]["waiting_per_node"]. `messages.sweeping` counts what waits
and sets `Node.full_since`. What is for a user by name is refused while all nodes of the user are full: the sender gets
an error, and nothing is dropped. What is for a group is not refused: one absent member would keep the group silent.

Counts stop at a limit, so that a page does not wait for them even when millions of messages wait.
"""

from __future__ import annotations

from django.db.models import Exists, IntegerField, OuterRef, Q, QuerySet, Subquery

from ...models import Node, QueueEntry


class RowsOf(Subquery):
    """How many rows a subquery returns. It should have a limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS looked_at)"
    output_field = IntegerField()


def entries_of_each() -> QuerySet[QueueEntry]:
    """Return what waits for the node of the outer query, in its order."""
    return QueueEntry.objects.filter(node=OuterRef("pk")).order_by("rank", "message_id")


def with_count(nodes: QuerySet[Node], most: int) -> QuerySet[Node]:
    """Annotate nodes with `waiting`: how many messages wait, at most `most` + 1."""
    return nodes.annotate(waiting=RowsOf(entries_of_each().values("message_id")[: most + 1]))


def is_full() -> Q:
    """Return the condition that a user has nodes in use, and all of them are full."""
    in_use = Node.objects.filter(user=OuterRef("pk"), dropped=None)
    return Exists(in_use) & ~Exists(in_use.filter(full_since=None))
