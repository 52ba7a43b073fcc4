"""When each task runs. `migrate` makes django-q2's schedules match this list: it adds, changes and removes rows.

A row is known by its name, which begins with “tmtp_delivery: ”. Another app with tasks has a list and a prefix of its
own. Other schedules of the site are left alone, and so are the time when a row is due next and the number of repeats,
with which somebody has switched it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.apps import apps as installed
from django.db import router, transaction

PREFIX = "tmtp_delivery: "


class Every(NamedTuple):
    """A function without arguments, by its dotted path, and the minutes from one run to the next."""

    name: str
    function: str
    minutes: int


SCHEDULES = (
    Every("heartbeat", "tmtp.delivery.tasks.heartbeat", 1),
    Every("broadcasts", "tmtp.delivery.broadcasts.tasks.start_due", 1),
    Every("answers", "tmtp.delivery.tasks.answers", 1),
    Every("reports", "tmtp.delivery.tasks.reports", 1),
    Every("retry", "tmtp.delivery.tasks.retry", 1),
    Every("expire", "tmtp.delivery.tasks.expire", 10),
    Every("sweep", "tmtp.delivery.tasks.sweep", 10),
    Every("notify", "tmtp.delivery.tasks.notify", 10),
    Every("deletions", "tmtp.delivery.tasks.delete_accounts", 10),
    Every("purge", "tmtp.delivery.tasks.purge", 60),
)


def make_schedules(using: str = "default", apps: Any = installed, **_: Any) -> None:
    """Make the rows of this app. Receives `post_migrate`."""
    update(PREFIX, SCHEDULES, using, apps)


def update(prefix: str, schedules: Sequence[Every], using: str, apps: Any) -> None:
    """Create, update and delete rows, so that those with this prefix are these."""
    try:
        Schedule = apps.get_model("django_q", "Schedule")
    except LookupError:
        return  # migrated back to before there was one
    if not router.allow_migrate_model(using, Schedule):
        return
    rows = Schedule.objects.using(using).filter(name__startswith=prefix)
    with transaction.atomic(using=using):
        rows.exclude(name__in=[prefix + every.name for every in schedules]).delete()
        for every in schedules:
            wanted = {"func": every.function, "schedule_type": "I", "minutes": every.minutes}
            if not rows.filter(name=prefix + every.name).update(**wanted):
                Schedule.objects.using(using).create(name=prefix + every.name, **wanted)
