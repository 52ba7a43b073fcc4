"""What workers run: the functions that `delivery.schedules` names, and those that are asked for with `work.ask`.

Each may run at any time, any number of times, and in two workers at once; each ends well before django-q2's timeout
(`work.Budget`), and what is left then is for the next run.
"""

from __future__ import annotations

from . import handling, marks


def heartbeat() -> None:
    """A worker is there."""
    marks.set_mark(marks.WORKER)


def answers() -> None:
    """Give what members have written to the site to its handler."""
    handling.handle_answers()
