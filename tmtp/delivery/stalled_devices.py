"""Send again what a connected device has not acknowledged, when its server does not do it by itself.

A server sends again what is unacknowledged after TMTP["RESEND_AFTER"]. This finds the cases where it wrongly believes
that nothing waits. A device is stalled when the first message in its queue stays the same. Its server is then asked to
send the queue again, and once more after each pause. The pauses double.
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
from tmtp.services.people import devices

from .budget import Budget
from .models import StalledDevice
from .one_of_many import guarded

PAGE = 1000  # nodes at once
LONGEST_PAUSE = timedelta(hours=1)


def redeliver() -> int:
    """Check all connected devices. Return the number of devices to which waiting messages are sent again."""
    asked, last, budget = 0, 0, Budget()
    StalledDevice.objects.filter(node__server=None).delete()
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
    """Compare the first messages of nodes with those of the last run. Return the number of retries."""
    now = timezone.now()
    known = {row.pk: row for row in StalledDevice.objects.filter(pk__in=page)}
    waiting = {node: number for node, number in page.items() if number is not None}
    moved = [node for node, row in known.items() if waiting.get(node) != row.number]
    StalledDevice.objects.filter(pk__in=moved).delete()
    new = [node for node in waiting if node not in known or node in moved]
    StalledDevice.objects.bulk_create(
        [StalledDevice(node_id=node, number=waiting[node], since=now, next_try=now + _pause(0)) for node in new],
        ignore_conflicts=True,  # another worker was faster
    )
    due = [row for node, row in known.items() if node not in moved and row.next_try <= now]
    return sum(bool(guarded(lambda one: _retry(one, now), row)) for row in due)


@transaction.atomic
def _retry(row: StalledDevice, now: datetime) -> bool:
    """Ask its server to send again. Return False when another worker has just done so, or the device is gone."""
    mine = StalledDevice.objects.filter(pk=row.pk, number=row.number, asked=row.asked)
    if not mine.update(asked=row.asked + 1, next_try=now + _pause(row.asked + 1)):
        return False
    try:
        devices.redeliver(row.node)
    except Refused:
        return False
    return True


def _pause(asked: int) -> Any:
    """Return twice the time after which the server itself sends again, doubled for each retry."""
    return min(LONGEST_PAUSE, timedelta(seconds=tmtp_conf.RESEND_AFTER) * 2 ** min(asked + 1, 20))
