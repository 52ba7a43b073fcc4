"""What workers run: the functions that `schedules` names, and those that `workers.run_soon` was called with.

Each may run at any time, any number of times, and in two workers at once. Each ends well before django-q2's timeout
(`budget.Budget`), and leaves the rest to its next run.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error

from . import deletions, housekeeping, notices, stalled_devices, workers
from .inbound import handling, report_batches
from .private_errors import quoting_nobody

log = logging.getLogger("tmtp.delivery")


def worker_started(**_: Any) -> None:
    """Record a heartbeat, and look for messages to the site at once. Receives django-q2's `post_spawn`."""
    try:
        workers.record_heartbeat()
        handling.request_handling()
    except Error as error:  # there is no table yet, or no database: the worker reports that itself
        log.warning("a worker has started, which could not be noted: %s", error)


@quoting_nobody
def heartbeat() -> None:
    """Record that a worker runs."""
    workers.record_heartbeat()


@quoting_nobody
def answers() -> None:
    """Call the site's handler with the messages to the site."""
    handling.handle_messages()


@quoting_nobody
def reports() -> int:
    """Hand delivery reports over to the site's handler of reports."""
    return report_batches.collect()


@quoting_nobody
def retry() -> int:
    """Send again what connected devices have not acknowledged for a while."""
    return stalled_devices.redeliver()


@quoting_nobody
def expire() -> int:
    """Drop what has waited longer than EXPIRE_AFTER."""
    return housekeeping.expire()


@quoting_nobody
def sweep() -> None:
    """Remove what crashes have left behind."""
    housekeeping.sweep()


@quoting_nobody
def notify() -> int:
    """Tell members by e-mail that messages wait."""
    return notices.send_notices()


@quoting_nobody
def delete_accounts() -> int:
    """Delete accounts whose time to think is over."""
    return deletions.delete_due()


@quoting_nobody
def purge() -> None:
    """Delete what is kept for a limited time."""
    housekeeping.purge()
