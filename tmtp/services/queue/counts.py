"""How much waits for nodes, for pages that must come at once even when millions of messages wait."""

from __future__ import annotations

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery

from ...models import Node, QueueEntry


class RowsOf(Subquery):
    """How many rows a subquery has. It should have a limit."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS looked_at)"
    output_field = IntegerField()


def entries_of_each() -> QuerySet[QueueEntry]:
    """What waits for the node of the outer query, in its order."""
    return QueueEntry.objects.filter(node=OuterRef("pk")).order_by("rank", "message_id")


def with_count(nodes: QuerySet[Node], most: int) -> QuerySet[Node]:
    """Nodes with `waiting`: how many messages wait. Counting stops at `most`, and one that says more."""
    return nodes.annotate(waiting=RowsOf(entries_of_each().values("message_id")[: most + 1]))
