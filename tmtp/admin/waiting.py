"""How much waits for each node, for pages that must come at once even when millions of messages wait.

Counting stops at a limit for each node: a page of fifty nodes looks at half a million index entries and fifty
thousand messages at most. What stopped is shown as "10,000+".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Least, NullIf
from django.template.defaultfilters import filesizeformat
from django.utils.formats import number_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from ..models import Node, QueueEntry
from ..services.queue.quota import RowsOf, entries_of_each, with_count

__all__ = ["RowsOf", "shown_age", "shown_count", "shown_octets", "with_waiting"]

COUNTED = 10_000
WEIGHED = 1_000
NEVER = 2**63 - 1  # later than all messages


class OctetsOf(Subquery):
    """The sum of the column `octets` of a subquery."""

    template = "(SELECT COALESCE(SUM(octets), 0) FROM (%(subquery)s) AS looked_at)"
    output_field = BigIntegerField()


def with_waiting(nodes: QuerySet[Node], counted: int = COUNTED, weighed: int = WEIGHED) -> QuerySet[Node]:
    """Nodes with `waiting` (messages), `octets` (of their bodies), `oldest` (a number), and the limits of counting."""
    return with_count(nodes, counted).annotate(
        counted=Value(counted),
        weighed=Value(weighed),
        octets=OctetsOf(entries_of_each().values(octets=F("message__size"))[:weighed]),
        oldest=NullIf(Least(*[_first_of(rank) for rank in QueueEntry.Rank]), Value(NEVER)),
    )


def _first_of(rank: int) -> Any:
    """The lowest number of a rank: the first one in the index, so nothing is counted or sorted."""
    first = QueueEntry.objects.filter(node=OuterRef("pk"), rank=rank).order_by("message_id").values("message_id")[:1]
    return Coalesce(Subquery(first), Value(NEVER), output_field=BigIntegerField())


def shown_count(node: Any) -> str:
    """How many messages wait; "10,000+" when counting stopped there."""
    text = number_format(min(node.waiting, node.counted), use_l10n=True, force_grouping=True)
    return _("%(number)s+") % {"number": text} if node.waiting > node.counted else text


def shown_octets(node: Any) -> str:
    """The octets of their bodies, of those looked at; empty when nothing waits."""
    if not node.waiting:
        return ""
    text = filesizeformat(node.octets)
    return _("%(number)s+") % {"number": text} if node.waiting > node.weighed else text


def shown_age(node: Any) -> str:
    """How long ago the first one was posted; empty without one."""
    return timesince(datetime.fromtimestamp(node.oldest / 1_000_000_000, UTC)) if node.oldest else ""
