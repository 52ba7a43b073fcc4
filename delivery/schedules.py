"""When what is run. `migrate` makes django-q2's schedules the same as this list: adds, changes and removes rows.

Rows are known by their name, which begins with “delivery: ”; other schedules of the site are left alone, and so is
when a row is due next, or that somebody has switched it off (its number of repeats).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.apps import apps as installed
from django.db import router, transaction

PREFIX = "delivery: "


class Every(NamedTuple):
    """A function of no arguments, by its dotted path, and the minutes from one run to the next."""

    name: str
    function: str
    minutes: int


SCHEDULES = (
    Every("heartbeat", "delivery.tasks.heartbeat", 1),
    Every("broadcasts", "delivery.broadcasts.tasks.look", 1),
    Every("answers", "delivery.tasks.answers", 1),
    Every("retry", "delivery.tasks.retry", 1),
    Every("expire", "delivery.tasks.expire", 10),
    Every("sweep", "delivery.tasks.sweep", 10),
    Every("notify", "delivery.tasks.notify", 10),
    Every("purge", "delivery.tasks.purge", 60),
)


def make_schedules(using: str = "default", apps: Any = installed, **_: Any) -> None:
    """Make the rows what the list says. Receives `post_migrate`."""
    try:
        Schedule = apps.get_model("django_q", "Schedule")
    except LookupError:
        return  # migrated back to before there was one
    if not router.allow_migrate_model(using, Schedule):
        return
    rows = Schedule.objects.using(using).filter(name__startswith=PREFIX)
    with transaction.atomic(using=using):
        rows.exclude(name__in=[PREFIX + every.name for every in SCHEDULES]).delete()
        for every in SCHEDULES:
            wanted = {"func": every.function, "schedule_type": "I", "minutes": every.minutes}
            if not rows.filter(name=PREFIX + every.name).update(**wanted):
                Schedule.objects.using(using).create(name=PREFIX + every.name, **wanted)
