"""Times as this site's Django has them: with a zone, or with USE_TZ = False without one, in TIME_ZONE.

`django.utils.timezone.now()` returns such a time, and models store and return them. Whatever is compared with one or
stored passes `site_time` first, unless it is one already.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

SECOND = 1_000_000_000  # nanoseconds


def site_time(moment: datetime) -> datetime:
    """Return a time with or without a zone, as the site has times. A time without one is in TIME_ZONE."""
    if timezone.is_aware(moment) == settings.USE_TZ:
        return moment
    default = timezone.get_default_timezone()
    return timezone.make_aware(moment, default) if settings.USE_TZ else timezone.make_naive(moment, default)


def time_of(number: int) -> datetime:
    """Return the time of a message, whose number is nanoseconds since the epoch."""
    return site_time(datetime.fromtimestamp(number / SECOND, UTC))


def number_at(moment: datetime) -> int:
    """Return the number of a message that came at a time of the site."""
    return int(aware(moment).timestamp() * SECOND)


def aware(moment: datetime) -> datetime:
    """Return a time of the site with its zone."""
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment, timezone.get_default_timezone())


def local_time(moment: datetime) -> datetime:
    """Return a time of the site as its readers have it: in the current time zone, if times have zones."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment
