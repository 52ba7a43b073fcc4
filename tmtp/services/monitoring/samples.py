"""Figures kept for a day: for an hour one sample a minute, then one in ten minutes (`tmtp.models.Sample`)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q

from ...models import Sample
from ...times import site_time
from ..queue.batch import Batch
from .survey import current, measure

MINUTE = 60
EVERY_MINUTE_FOR = timedelta(minutes=65)
KEPT = timedelta(hours=24, minutes=25)
COARSE = 10  # minutes between samples that are kept for a day


def until_next() -> float:
    """Return the seconds until the next minute begins."""
    return MINUTE - time.time() % MINUTE


def record(server: int, values: dict[str, Any], *, batch: Batch | None = None) -> None:
    """Keep the figures of a server, which is named by its lease, as those of this minute."""
    keep(this_minute(), server, values)


def take_whole() -> None:
    """Measure the whole service and keep its figures, unless another server has in this minute.

    Run it in a thread: it waits for the database, on a connection of its own.
    """
    at = this_minute()
    try:
        if not Sample.objects.filter(at=at, server=Sample.WHOLE).exists():
            keep(at, Sample.WHOLE, {**measure(), **current()})
            thin(at)
    finally:
        connection.close()


def keep(at: datetime, server: int, values: dict[str, Any]) -> None:
    """Write a sample, unless there is one already."""
    Sample.objects.bulk_create([Sample(at=at, server=server, values=values)], ignore_conflicts=True)


def thin(now: datetime) -> int:
    """Delete old samples: those between tens of minutes after an hour, all after a day. Return their number."""
    past_an_hour = Q(at__lt=now - EVERY_MINUTE_FOR) & ~is_kept()
    deleted: int = Sample.objects.filter(past_an_hour | Q(at__lt=now - KEPT)).delete()[0]
    return deleted


def is_kept() -> Q:
    """Return a condition for the samples that are kept for a day."""
    return Q(at__minute__in=range(0, MINUTE, COARSE))


def this_minute() -> datetime:
    """Return the beginning of this minute, as a time of the site."""
    return site_time(datetime.now(UTC).replace(second=0, microsecond=0))


def whole() -> tuple[datetime | None, dict[str, Any]]:
    """Return when the whole service was last measured, and its figures."""
    latest = Sample.objects.filter(server=Sample.WHOLE).order_by("-at").first()
    return (latest.at, latest.values) if latest else (None, {})
