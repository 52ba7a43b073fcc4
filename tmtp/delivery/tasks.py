"""What workers run: the functions that `tmtp.delivery.schedules` names, and those that are asked for with `work.ask`.

Each may run at any time, any number of times, and in two workers at once; each ends well before django-q2's timeout
(`work.Budget`), and what is left then is for the next run.
"""

from __future__ import annotations

from . import handling, housekeeping, marks, notices, stalled


def heartbeat() -> None:
    """A worker is there."""
    marks.set_mark(marks.WORKER)


def answers() -> None:
    """Give what members have written to the site to its handler."""
    handling.handle_answers()


def retry() -> int:
    """Send again what connected devices have not taken for long."""
    return stalled.retry_stalled()


def expire() -> int:
    """Drop what has waited too long."""
    return housekeeping.expire()


def sweep() -> None:
    """Clear away what crashes have left behind."""
    housekeeping.sweep()


def notify() -> int:
    """Tell members by e-mail that messages wait."""
    return notices.send_notices()


def purge() -> None:
    """Forget what was kept for a time only."""
    housekeeping.purge()
