"""Figures kept for a day: for an hour one sample a minute, then one in ten minutes (`tmtp.models.Sample`)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import Error, connection, transaction
from django.db.models import Q

from ...models import Sample
from ...times import site_time
from ..storage.outages import Outage
from .survey import current, measure

_sampling = Outage("no sample was taken: %s", "samples are taken again")
MINUTE = 60
EVERY_MINUTE_FOR = timedelta(minutes=65)
KEPT = timedelta(hours=24, minutes=25)
COARSE = 10  # minutes between samples that are kept for a day


def until_next() -> float:
    """Return the seconds until the next minute begins."""
    return MINUTE - time.time() % MINUTE


def take(server: int, values: dict[str, Any]) -> None:
    """Keep the figures of a server, and measure the whole service if no other server has in this minute.

    Run it in a thread: it waits for the database, on a connection of its own. If that fails, it is only logged.
    """
    if not server:
        return
    at = this_minute()
    try:
        with transaction.atomic():
            keep(at, server, values)
        if not Sample.objects.filter(at=at, server=Sample.WHOLE).exists():
            keep(at, Sample.WHOLE, {**measure(), **current()})
            thin(at)
        _sampling.over()
    except Error as error:
        _sampling.met(error)
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
