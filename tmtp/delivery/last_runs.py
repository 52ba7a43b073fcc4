"""When something was last done, and how far it came. Each function reads or writes one row in one statement."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from .models import LastRun


def record(name: str, progress: int = 0) -> None:
    """Set the timestamp to now, and the progress."""
    LastRun.objects.update_or_create(name=name, defaults={"at": timezone.now(), "progress": progress})


def time_of(name: str) -> datetime | None:
    """Return the timestamp; None when nothing was recorded, or after `reset`."""
    return LastRun.objects.filter(name=name).values_list("at", flat=True).first()


def progress_of(name: str) -> int:
    """Return the progress that was recorded last; 0 when nothing was recorded."""
    return LastRun.objects.filter(name=name).values_list("progress", flat=True).first() or 0


def start(name: str, interval: timedelta) -> bool:
    """Set the timestamp to now, unless it is less than `interval` old. Return whether it was set.

    When several processes call this at the same time, one of them gets True.
    """
    now = timezone.now()
    LastRun.objects.get_or_create(name=name)
    due = Q(at=None) | Q(at__lt=now - interval)
    return bool(LastRun.objects.filter(due, name=name).update(at=now))


def reset(name: str) -> None:
    """Reset the timestamp, so that the next `start` returns True."""
    LastRun.objects.filter(name=name).update(at=None)
