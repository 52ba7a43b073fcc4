"""When each task runs. `migrate` makes django-q2's schedules match this list."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed

from tmtp.delivery.schedules import Every, update

PREFIX = "tmtp_notices: "
SCHEDULES = (
    Every("push", "tmtp.notices.tasks.push", 1),
    Every("digest", "tmtp.notices.tasks.digest", 10),
)


def make_schedules(using: str = "default", apps: Any = installed, **_: Any) -> None:
    """Make the rows of this app. Receives `post_migrate`."""
    update(PREFIX, SCHEDULES, using, apps)
