"""Start, pause, resume, cancel and recall broadcasts.

Each function raises Refused when the broadcast is not, or no longer, in a state that allows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from ..errors import Refused
from ..workers import run_soon
from . import audience, fields, recurrence
from .files import attach
from .models import Broadcast, Recipient, Template

RUN, TAKE_BACK = "tmtp.delivery.broadcasts.tasks.run", "tmtp.delivery.broadcasts.tasks.take_back"
DRAFT, SCHEDULED, RUNNING, PAUSED, CANCELLED, DONE = Broadcast.State


@transaction.atomic
def draft(template: Template | None = None, *, files: Iterable[Any] = (), **values: Any) -> Broadcast:
    """Return a new draft with the subject and text of a template, and these attachments.

    `values` are other fields of the broadcast. Raise Refused for files that cannot be attached.
    """
    text = {"subject": template.subject, "body": template.body} if template else {}
    broadcast = Broadcast.objects.create(**{**text, **values})
    attach(broadcast, files)
    return broadcast


@transaction.atomic
def start(broadcast: Broadcast) -> None:
    """Send it now. A worker chooses the recipients, once, when it begins. Raise Refused when it has no audience."""
    if broadcast.state == DRAFT:
        schedule(broadcast, timezone.now())
    elif broadcast.repeat:
        raise Refused("broadcast_repeated", subject=broadcast.subject)
    _change_state(broadcast, {SCHEDULED}, RUNNING, started=timezone.now())
    _run_soon(broadcast)


def check(broadcast: Broadcast) -> None:
    """Raise Refused when it has no audience, or fields that do not exist."""
    audience.check(broadcast)
    fields.check(broadcast.subject, broadcast.body)


def schedule(
    broadcast: Broadcast, at: datetime, *, repeat: str = "", until: date | None = None, times: int | None = None
) -> None:
    """Send it at a time. With `repeat`, "daily", "weekly" or "monthly", send it again and again from then on.

    It ends after the day `until`, or when it has been sent so many `times`. Raise Refused when it has no audience, or
    fields that do not exist.
    """
    _refresh(broadcast)
    check(broadcast)
    recurrence.check(at, repeat, until, times)
    again = {"repeat": repeat, "repeat_from": at if repeat else None, "repeat_until": until, "repeat_times": times}
    number = audience.groups_named(broadcast)
    _change_state(broadcast, {DRAFT}, SCHEDULED, send_at=at, groups_named=number, repeats=0, **again)


def begin_due(broadcast: Broadcast) -> None:
    """Start a scheduled broadcast, or the run that is due of one that is repeated."""
    if not broadcast.repeat:
        start(broadcast)
        return
    with transaction.atomic():
        run = recurrence.begin_run(broadcast)
        if run:
            start(run)


def unschedule(broadcast: Broadcast) -> None:
    """Make it a draft again."""
    _change_state(broadcast, {SCHEDULED}, DRAFT, send_at=None, groups_named=0)


def pause(broadcast: Broadcast, problem: str = "") -> None:
    """Stop after the portion that is being sent. `problem` is the reason, for the admin."""
    _change_state(broadcast, {RUNNING}, PAUSED, problem=problem)


def resume(broadcast: Broadcast) -> None:
    """Continue where it stopped."""
    _change_state(broadcast, {PAUSED}, RUNNING, problem="", paced=None)
    _run_soon(broadcast)


@transaction.atomic
def cancel(broadcast: Broadcast) -> None:
    """Send it to nobody else. Members who have it keep it."""
    _change_state(broadcast, {SCHEDULED, RUNNING, PAUSED}, CANCELLED, finished=timezone.now())
    Recipient.objects.filter(broadcast=broadcast).delete()


@transaction.atomic
def take_back(broadcast: Broadcast) -> None:
    """Cancel it, and have workers recall it from everyone who has not received it yet. The others keep it."""
    if broadcast.state in (RUNNING, PAUSED):
        cancel(broadcast)
    _change_state(broadcast, {CANCELLED, DONE}, F("state"), recalled=timezone.now(), reported=None)
    transaction.on_commit(partial(run_soon, TAKE_BACK, broadcast.pk))


def _run_soon(broadcast: Broadcast) -> None:
    """Have a worker begin once the transaction has committed. If that is lost, the schedule finds the broadcast."""
    transaction.on_commit(partial(run_soon, RUN, broadcast.pk))


def _change_state(broadcast: Broadcast, from_states: set[Any], to: Any, **more: Any) -> None:
    """Set the state, and more fields, in one statement. Raise Refused unless the state was one of `from_states`."""
    changed = Broadcast.objects.filter(pk=broadcast.pk, state__in=from_states).update(state=to, **more)
    _refresh(broadcast)
    if not changed:
        raise Refused("broadcast_wrong_state", subject=broadcast.subject, state=broadcast.get_state_display())


def _refresh(broadcast: Broadcast) -> None:
    """Read the broadcast again. Raise Refused if it has been deleted."""
    try:
        broadcast.refresh_from_db()
    except Broadcast.DoesNotExist as error:
        raise Refused("broadcast_gone", subject=broadcast.subject) from error
