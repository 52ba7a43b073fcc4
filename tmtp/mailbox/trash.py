"""The deleted messages of a mailbox. They are kept for KEPT, and can be restored (`actions`).

Until then they are in the queue, as all messages of a mailbox are: they count towards its limits, are not
acknowledged, and disappear when they are recalled.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from ..models import Node
from . import index
from .models import Entry, Thread

KEPT = timedelta(days=30)
AT_ONCE = 200  # messages


def delete_for_good(node: Node, thread: Thread | None = None) -> int:
    """Delete the deleted messages of a thread, or all, for good. This acknowledges them. Return their number."""
    deleted = Entry.objects.filter(node=node, deleted__isnull=False)
    numbers = list((deleted.filter(thread=thread) if thread else deleted).values_list("number", flat=True))
    index.delete(node, numbers)
    return len(numbers)


def purge(**_: Any) -> int:
    """Delete for good what was deleted longer than KEPT ago, in all mailboxes, at most AT_ONCE. Return the number.

    Receives `signals.housekeeping`.
    """
    old = Entry.objects.filter(deleted__lt=timezone.now() - KEPT).select_related("node__user")[:AT_ONCE]
    numbers: dict[Node, list[int]] = {}
    for entry in old:
        numbers.setdefault(entry.node, []).append(entry.number)
    for node, its in numbers.items():
        index.delete(node, its)
    return sum(len(its) for its in numbers.values())
