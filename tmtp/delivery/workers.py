"""Asking workers to run something, and whether there are any: each records a heartbeat once a minute."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import Min
from django.utils import timezone

from . import last_runs
from .schedules import PREFIX

HEARTBEAT = "worker"  # the name of the last run
LATE = timedelta(minutes=3)  # a heartbeat comes each minute


def run_soon(task: str, *args: object) -> None:
    """Have a worker run a function, named by its dotted path. This takes a few milliseconds and uses the database."""
    from django_q.tasks import async_task  # optional, and it reads its settings when it is imported

    async_task(task, *args, q_options={"group": "tmtp_delivery", "save": False})


def close_pools() -> None:
    """Close Django's pools of connections. Called before a process forks.

    The child would share the sockets, and wait for ever for connections from a pool whose threads it does not have.
    """
    for one in connections.all(initialized_only=True):
        close = getattr(one, "close_pool", None)  # of PostgreSQL
        if close and one.settings_dict["OPTIONS"].get("pool") and not one.in_atomic_block:
            one.close()
            close()


def record_heartbeat() -> None:
    """Record that a worker runs."""
    last_runs.record(HEARTBEAT)


def last_heartbeat() -> datetime | None:
    """Return the time of the last heartbeat; None when there never was one."""
    return last_runs.time_of(HEARTBEAT)


def are_missing() -> bool:
    """Return whether no worker has run a task for a few minutes."""
    return is_late(last_heartbeat())


def is_late(seen: datetime | None) -> bool:
    """Return whether the last heartbeat is a few minutes old, or there never was one."""
    return seen is None or seen < timezone.now() - LATE


def figures() -> dict[str, Any]:
    """Return what there is to know of the workers, for those who watch the service.

    `lag` is how many seconds late the first of the tasks is that are due, and `waiting` how many wait in the database.
    """
    from django_q.models import OrmQ, Schedule

    now = timezone.now()
    due = Schedule.objects.filter(name__startswith=PREFIX, next_run__lt=now).exclude(repeats=0)
    first = due.aggregate(first=Min("next_run"))["first"]
    seen = last_heartbeat()
    workers = {
        "missing": seen is None or seen < now - LATE,
        "seen": seen.isoformat() if seen else None,
        "lag": (now - first).total_seconds() if first else 0.0,
        "waiting": OrmQ.objects.count(),
    }
    return {"workers": workers}
