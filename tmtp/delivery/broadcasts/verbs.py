"""What can be done with a broadcast. Each is refused when its state has become another meanwhile."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_q.tasks import async_task

from ..errors import Refused
from . import audience
from .models import Broadcast, Recipient

RUN, TAKE_BACK = "tmtp.delivery.broadcasts.tasks.run", "tmtp.delivery.broadcasts.tasks.take_back"
DRAFT, SCHEDULED, RUNNING, PAUSED, CANCELLED, DONE = Broadcast.State


@transaction.atomic
def start(broadcast: Broadcast) -> None:
    """Send it now. Whom it is for is decided once, when a worker begins. Raises Refused when nothing says it."""
    if broadcast.state == DRAFT:
        schedule(broadcast, timezone.now())
    _move(broadcast, {SCHEDULED}, RUNNING, started=timezone.now())
    hand_over(broadcast)


def schedule(broadcast: Broadcast, at: datetime) -> None:
    """Send it at a time. Raises Refused when nothing says whom it is for."""
    broadcast.refresh_from_db()
    audience.check(broadcast)
    _move(broadcast, {DRAFT}, SCHEDULED, send_at=at, groups_named=audience.groups_named(broadcast))


def unschedule(broadcast: Broadcast) -> None:
    """It is a draft again."""
    _move(broadcast, {SCHEDULED}, DRAFT, send_at=None, groups_named=0)


def pause(broadcast: Broadcast, problem: str = "") -> None:
    """Stop after the portion that is being sent."""
    _move(broadcast, {RUNNING}, PAUSED, problem=problem)


def resume(broadcast: Broadcast) -> None:
    """Go on where it stopped."""
    _move(broadcast, {PAUSED}, RUNNING, problem="", paced=None)
    hand_over(broadcast)


@transaction.atomic
def cancel(broadcast: Broadcast) -> None:
    """Send it to nobody else. Who has it keeps it."""
    _move(broadcast, {SCHEDULED, RUNNING, PAUSED}, CANCELLED, finished=timezone.now())
    Recipient.objects.filter(broadcast=broadcast).delete()


@transaction.atomic
def take_back(broadcast: Broadcast) -> None:
    """Cancel it, and take it back from all who do not have it yet. Workers do, soon; who has it keeps it."""
    if broadcast.state in (RUNNING, PAUSED):
        cancel(broadcast)
    _move(broadcast, {CANCELLED, DONE}, F("state"), recalled=timezone.now(), reported=None)
    transaction.on_commit(partial(async_task, TAKE_BACK, broadcast.pk))


def hand_over(broadcast: Broadcast) -> None:
    """Let a worker begin when the transaction has committed. Should that be lost, the schedule finds it."""
    transaction.on_commit(partial(async_task, RUN, broadcast.pk))


def _move(broadcast: Broadcast, from_states: set[Any], to: Any, **more: Any) -> None:
    moved = Broadcast.objects.filter(pk=broadcast.pk, state__in=from_states).update(state=to, **more)
    broadcast.refresh_from_db()
    if not moved:
        raise Refused("broadcast_wrong_state", subject=broadcast.subject, state=broadcast.get_state_display())
