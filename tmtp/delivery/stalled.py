"""Retries what a connected device has not taken, although its server believes that it was sent or that nothing waits.

A server sends again by itself what is unacknowledged (TMTP["RESEND_AFTER"]); this is the safety net under that, from
outside. A device is stalled when the first message in its queue stays the same; a long queue that drains is not. Then
its server is asked to begin again with that queue, and again after pauses that double.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from tmtp.conf import conf as tmtp_conf
from tmtp.models import Node, QueueEntry
from tmtp.services.errors import Refused
from tmtp.services.people.users import redeliver

from .models import Stalled
from .work import Budget

PAGE = 1000  # nodes at once
LONGEST_PAUSE = timedelta(hours=1)


def retry_stalled() -> int:
    """Look at all connected devices; gives how many were sent what waits for them again."""
    asked, last, budget = 0, 0, Budget()
    Stalled.objects.filter(node__server=None).delete()
    while budget:
        connected = Node.objects.filter(pk__gt=last, server__isnull=False, dropped=None, kind=Node.Kind.DEVICE)
        first = QueueEntry.objects.filter(node=OuterRef("pk")).order_by("rank", "message_id").values("message_id")[:1]
        page = dict(connected.order_by("pk").annotate(first=Subquery(first)).values_list("pk", "first")[:PAGE])
        asked += _compare(page)
        if len(page) < PAGE:
            break
        last = max(page)
    return asked


def _compare(page: dict[int, int | None]) -> int:
    """Compare the first messages of nodes with those of the last look."""
    now = timezone.now()
    known = {row.pk: row for row in Stalled.objects.filter(pk__in=page)}
    waiting = {node: number for node, number in page.items() if number is not None}
    moved = [node for node, row in known.items() if waiting.get(node) != row.number]
    Stalled.objects.filter(pk__in=moved).delete()
    new = [node for node in waiting if node not in known or node in moved]
    Stalled.objects.bulk_create(
        [Stalled(node_id=node, number=waiting[node], since=now, next_try=now + _pause(0)) for node in new],
        ignore_conflicts=True,  # the other worker was faster
    )
    due = [row for node, row in known.items() if node not in moved and row.next_try <= now]
    return sum(_retry(row, now) for row in due)


@transaction.atomic
def _retry(row: Stalled, now: datetime) -> bool:
    """Ask its server to begin again; not when the other worker has just done so, or the device has gone."""
    mine = Stalled.objects.filter(pk=row.pk, number=row.number, asked=row.asked)
    if not mine.update(asked=row.asked + 1, next_try=now + _pause(row.asked + 1)):
        return False
    try:
        redeliver(row.node)
    except Refused:
        return False
    return True


def _pause(asked: int) -> Any:
    """Twice as long as the server itself waits, then twice as long each time."""
    return min(LONGEST_PAUSE, timedelta(seconds=tmtp_conf.RESEND_AFTER) * 2 ** min(asked + 1, 20))
