"""Broadcasts that are repeated: every day, week or month, at the same time of the site's time zone.

Such a broadcast stays scheduled, and is never sent itself. When it is due, it starts a broadcast of its own with a
report of its own, its run, and `send_at` becomes the next time after now. All of this is one transaction: whatever
process dies, each run is sent once. If no worker ran for a while, there is one run for all the times that were missed.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tmtp.times import aware, site_time

from ..errors import Refused
from .models import Broadcast

Repeat = Broadcast.Repeat
DAYS = {Repeat.DAILY: 1, Repeat.WEEKLY: 7, Repeat.MONTHLY: 31}  # at most, from one time to the next
# What a run has in common with the broadcast that it is a run of.
SAME = (
    "subject",
    "body",
    "everyone",
    "segment",
    "staff_only",
    "joined_since",
    "joined_before",
    "seen_since",
    "rate",
    "groups_named",
    "by",
)


def check(at: datetime, repeat: str, until: date | None, times: int | None) -> None:
    """Raise Refused if this is no way to repeat a broadcast."""
    if repeat not in Repeat.values:
        raise Refused("broadcast_repeat_unknown", repeat=repeat, values=", ".join(filter(None, Repeat.values)))
    if (until and until < day_of(at)) or (times is not None and times < 1):
        raise Refused("broadcast_never_sent")


def time_of(first: datetime, repeat: str, number: int) -> datetime:
    """Return the time of a run, `number` 0 for the first. It has the same time of day, in summer and in winter.

    A time that a clock skips when summer begins is an hour later; of one that it shows twice, the first is meant. A
    month that is too short has its run on its last day.
    """
    local = _local(first)
    if repeat == Repeat.MONTHLY:
        months = local.year * 12 + local.month - 1 + number
        year, month = months // 12, months % 12 + 1
        day = date(year, month, min(local.day, calendar.monthrange(year, month)[1]))
    else:
        day = local.date() + timedelta(days=number * DAYS[Repeat(repeat)])
    moment = site_time(datetime.combine(day, local.time()))
    return moment.astimezone(UTC) if timezone.is_aware(moment) else moment  # which moves a time that is skipped


def next_time(first: datetime, repeat: str, after: datetime) -> datetime:
    """Return the first time that is later than `after`. `first` is that of the first run."""
    number = max(0, (aware(after) - aware(first)).days // DAYS[Repeat(repeat)])
    while time_of(first, repeat, number) <= after:
        number += 1
    return time_of(first, repeat, number)


def day_of(moment: datetime) -> date:
    """Return the day of a time, in the site's time zone."""
    return _local(moment).date()


@transaction.atomic
def begin_run(broadcast: Broadcast) -> Broadcast | None:
    """Make the run that is due, and set the time of the next one. Return None if another worker was faster.

    The run is scheduled, and due.
    """
    now = timezone.now()
    assert broadcast.repeat_from and broadcast.send_at
    following = next_time(broadcast.repeat_from, broadcast.repeat, max(now, broadcast.send_at))
    ended = {"state": Broadcast.State.DONE, "finished": now} if _is_last(broadcast, following) else {}
    this = Broadcast.objects.filter(pk=broadcast.pk, state=Broadcast.State.SCHEDULED, send_at=broadcast.send_at)
    if not this.update(send_at=following, repeats=F("repeats") + 1, **ended):
        return None
    same = {name: getattr(broadcast, name) for name in SAME}
    run = Broadcast.objects.create(
        **same, origin=broadcast, send_at=broadcast.send_at, state=Broadcast.State.SCHEDULED
    )
    for many in ("files", "groups", "account_groups"):
        getattr(run, many).set(getattr(broadcast, many).all())
    return run


def _is_last(broadcast: Broadcast, following: datetime) -> bool:
    if broadcast.repeat_times and broadcast.repeats + 1 >= broadcast.repeat_times:
        return True
    return broadcast.repeat_until is not None and day_of(following) > broadcast.repeat_until


def _local(moment: datetime) -> datetime:
    """Return a time of the site in its time zone, without the zone."""
    return aware(moment).astimezone(timezone.get_default_timezone()).replace(tzinfo=None)
