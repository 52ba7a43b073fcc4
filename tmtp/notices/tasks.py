"""What workers run. Each task may run at any time, any number of times, and in two workers at once."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

from tmtp.delivery import last_runs
from tmtp.delivery.budget import Budget, repeat
from tmtp.delivery.private_errors import quoting_nobody
from tmtp.delivery.workers import run_soon

from . import arrivals, digests, endpoints
from . import push as pushes
from .conf import conf

REQUESTED = "pushes asked for"  # the name of the last run
TASK = "tmtp.notices.tasks.push"


def request_pushes(**_: Any) -> None:
    """Have a worker run `push` soon if there is something for it. Receives `tmtp.signals.messages_arrived`."""
    if arrivals.undecided().exists() and last_runs.start(REQUESTED, timedelta(minutes=1)):
        run_soon(TASK)


@quoting_nobody
def push() -> None:
    """Send notices of new messages to the browsers that are subscribed."""
    if not conf.VAPID_KEY:
        return
    last_runs.reset(REQUESTED)  # first: what arrives from now on may request another task
    budget = Budget()
    arrivals.forget_old()
    repeat(arrivals.decide_some, budget)
    with closing(endpoints.new_session()) as session:
        repeat(lambda: pushes.send_some(session), budget)


@quoting_nobody
def digest() -> int:
    """Mail the digests that are due."""
    return digests.send_digests()
