"""Whether workers are there. One says so when it starts, and each minute from then on (`tasks.heartbeat`)."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.db import Error

from . import marks
from .handling import ask_for_answers

log = logging.getLogger("tmtp.delivery")


def watch_workers() -> None:
    """Be told when a worker starts."""
    if apps.is_installed("django_q"):
        from django_q.signals import post_spawn

        post_spawn.connect(_started, dispatch_uid="tmtp.delivery.workers")


def _started(**_: Any) -> None:
    """A worker is there: after a pause, messages may be waiting for it."""
    try:
        marks.set_mark(marks.WORKER)
        ask_for_answers()
    except Error as error:  # there is no table yet, or no database: the worker will say so itself
        log.warning("a worker has started, which could not be noted: %s", error)
