"""How fast a broadcast is sent: the recipients of each minute, and when it will have reached all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

from tmtp.times import SECOND, aware, time_of

from .models import Broadcast

KEPT = 30  # minutes
LATELY = timedelta(minutes=5)
LEAST = 10.0  # seconds that the rate is measured over

Minutes = Sequence[Sequence[int]]


def add(minutes: Minutes, now: datetime, number: int) -> list[list[int]]:
    """Return `minutes`, pairs of a minute since the epoch and the recipients in it, with so many more now."""
    this = int(aware(now).timestamp() // 60)
    before = [list(one) for one in minutes[-KEPT:]]
    if before and before[-1][0] == this:
        before[-1][1] += number
        return before
    return [*before, [this, number]][-KEPT:]


def per_minute(broadcast: Broadcast) -> int | None:
    """Return how many recipients a minute it has been queued for lately; None when that is not known."""
    if broadcast.state != Broadcast.State.RUNNING or not broadcast.chosen:
        return None
    now = aware(timezone.now()).timestamp()
    lately = [one for one in broadcast.minutes if one[0] * 60 > now - LATELY.total_seconds()]
    if not lately:
        return None
    since = max(lately[0][0] * 60, aware(broadcast.chosen).timestamp())
    number: int = sum(number for _, number in lately)
    speed: int = round(number * 60 / max(LEAST, now - since))
    return speed


def end(broadcast: Broadcast) -> datetime | None:
    """Return when it will probably have been queued for everyone; None when that is not known."""
    speed = per_minute(broadcast) or (broadcast.rate if broadcast.state == Broadcast.State.RUNNING else None)
    if not speed or not broadcast.chosen:
        return None
    try:
        return timezone.now() + timedelta(minutes=max(0, broadcast.total - broadcast.sent) / speed)
    except OverflowError:
        return None


class Bar(NamedTuple):
    """A minute in the chart: how far left and how high it is, in percent, its time and its number of recipients."""

    left: float
    height: float
    at: datetime
    number: int


def chart(broadcast: Broadcast) -> list[Bar]:
    """Return the last half an hour in which it was sent, a bar for each minute; nothing if it was only one."""
    minutes = broadcast.minutes[-KEPT:]
    if len(minutes) < 2:
        return []
    last, most = minutes[-1][0], max(1, *(number for _, number in minutes))
    lately = [one for one in minutes if one[0] > last - KEPT]
    return [
        Bar(100 - (last - minute + 1) * 100 / KEPT, number * 100 / most, time_of(minute * 60 * SECOND), number)
        for minute, number in lately
    ]
