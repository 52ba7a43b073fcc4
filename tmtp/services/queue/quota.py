"""The quota of nodes: how many messages wait for a node, and which nodes are full.

A node is full when more messages wait for it than TMTP["LIMITS"]["waiting_per_node"], or more octets of data in them
than "waiting_octets_per_node". `messages.sweeping` counts them and sets `Node.full_since`. While all nodes of a user
are full, messages to this user by name are refused: the sender gets an error, and nothing is dropped. Messages to a
group are not refused, since one absent member would otherwise silence the group.

Counts stop at a limit, so that a page loads fast even when millions of messages wait.
"""

from __future__ import annotations

from django.db.models import BigIntegerField, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery

from ...models import Node, QueueEntry


class RowsOf(Subquery):
    """The number of rows that a subquery returns. The subquery should have a limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS looked_at)"
    output_field = IntegerField()


class OctetsOf(Subquery):
    """The sum of the column `part` of a subquery. None if it returns no rows."""

    template = "(SELECT SUM(part) FROM (%(subquery)s) AS looked_at)"
    output_field = BigIntegerField()


def entries_of_each() -> QuerySet[QueueEntry]:
    """Return the queue entries of the outer query's node, in the order of its queue."""
    return QueueEntry.objects.filter(node=OuterRef("pk")).order_by("rank", "message_id")


def with_count(nodes: QuerySet[Node], most: int) -> QuerySet[Node]:
    """Annotate nodes with `waiting`: the number of messages that wait for each, at most `most` + 1."""
    return nodes.annotate(waiting=RowsOf(entries_of_each().values("message_id")[: most + 1]))


def with_octets(nodes: QuerySet[Node], most: int) -> QuerySet[Node]:
    """Annotate nodes with `octets`: those of the data of the first `most` messages that wait for each, or None."""
    return nodes.annotate(octets=OctetsOf(entries_of_each().annotate(part=F("message__size")).values("part")[:most]))


def is_full() -> Q:
    """Return a condition for users: true for a user who has nodes in use, all of them full."""
    in_use = Node.objects.filter(user=OuterRef("pk"), dropped=None)
    return Exists(in_use) & ~Exists(in_use.filter(full_since=None))
