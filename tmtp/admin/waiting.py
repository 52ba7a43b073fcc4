"""Count the messages that wait for each node, fast even if there are millions.

Counting stops at a limit for each node, so a page of fifty nodes reads at most half a million index entries and fifty
thousand messages. A count that stopped is shown as "10,000+".
"""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Least, NullIf
from django.template.defaultfilters import filesizeformat
from django.utils.formats import number_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from ..models import Node, QueueEntry
from ..services.queue.quota import RowsOf, entries_of_each, with_count
from ..times import time_of

__all__ = ["RowsOf", "shown_age", "shown_count", "shown_octets", "with_waiting"]

COUNT_LIMIT = 10_000
OCTETS_LIMIT = 1_000
NEVER = 2**63 - 1  # above the numbers of all messages


class OctetsOf(Subquery):
    """Sum the column `octets` of a subquery."""

    template = "(SELECT COALESCE(SUM(octets), 0) FROM (%(subquery)s) AS looked_at)"
    output_field = BigIntegerField()


def with_waiting(
    nodes: QuerySet[Node], count_limit: int = COUNT_LIMIT, octets_limit: int = OCTETS_LIMIT
) -> QuerySet[Node]:
    """Annotate nodes with `waiting` (messages), `octets` (of their bodies), `oldest` (a number) and both limits."""
    return with_count(nodes, count_limit).annotate(
        count_limit=Value(count_limit),
        octets_limit=Value(octets_limit),
        octets=OctetsOf(entries_of_each().values(octets=F("message__size"))[:octets_limit]),
        oldest=NullIf(Least(*[_first_of(rank) for rank in QueueEntry.Rank]), Value(NEVER)),
    )


def _first_of(rank: int) -> Any:
    """Return the lowest message number of a rank. It is the first entry of the index, so no sorting is needed."""
    first = QueueEntry.objects.filter(node=OuterRef("pk"), rank=rank).order_by("message_id").values("message_id")[:1]
    return Coalesce(Subquery(first), Value(NEVER), output_field=BigIntegerField())


def shown_count(node: Any) -> str:
    """Return how many messages wait, such as "10,000+" if counting stopped there."""
    text = number_format(min(node.waiting, node.count_limit), use_l10n=True, force_grouping=True)
    return _("%(number)s+") % {"number": text} if node.waiting > node.count_limit else text


def shown_octets(node: Any) -> str:
    """Return the size of the bodies that were counted; empty if no messages wait."""
    if not node.waiting:
        return ""
    text = filesizeformat(node.octets)
    return _("%(number)s+") % {"number": text} if node.waiting > node.octets_limit else text


def shown_age(node: Any) -> str:
    """Return how long ago the oldest message was posted; empty if no messages wait."""
    return timesince(time_of(node.oldest)) if node.oldest else ""
