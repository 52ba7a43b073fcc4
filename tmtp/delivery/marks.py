"""Marks: when something was last done. Each is a row that is read and set in one statement."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from .models import Mark

WORKER = "worker"  # a worker has run a task
WORKER_LATE = timedelta(minutes=3)  # the heartbeat comes each minute


def set_mark(name: str, number: int = 0) -> None:
    """It was done now."""
    Mark.objects.update_or_create(name=name, defaults={"at": timezone.now(), "number": number})


def number_of(name: str) -> int:
    """How far it came; 0 when it never was."""
    return Mark.objects.filter(name=name).values_list("number", flat=True).first() or 0


def take(name: str, for_how_long: timedelta) -> bool:
    """Set a mark unless that was done less than `for_how_long` ago; of those who ask at once, one gets True."""
    now = timezone.now()
    Mark.objects.get_or_create(name=name)
    free = Q(at=None) | Q(at__lt=now - for_how_long)
    return bool(Mark.objects.filter(free, name=name).update(at=now))


def clear(name: str) -> None:
    """As if it never was done."""
    Mark.objects.filter(name=name).update(at=None)


def worker_seen() -> datetime | None:
    """When a worker last ran a task; None when none ever did."""
    return Mark.objects.filter(name=WORKER).values_list("at", flat=True).first()


def worker_is_late() -> bool:
    """Whether no worker has run a task lately: then nothing is retried, expired, noticed or answered."""
    seen = worker_seen()
    return seen is None or seen < timezone.now() - WORKER_LATE
