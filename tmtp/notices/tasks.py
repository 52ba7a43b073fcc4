"""What workers run. Each task may run at any time, any number of times, and in two workers at once."""

from __future__ import annotations

from contextlib import closing

from tmtp.delivery import last_runs
from tmtp.delivery.budget import Budget, repeat
from tmtp.delivery.private_errors import quoting_nobody

from . import arrivals, digests, looking, push_sessions
from . import push as pushes
from .conf import conf


@quoting_nobody
def push() -> None:
    """Send notices of new messages to the browsers that are subscribed."""
    looking.forget_old()
    if not conf.VAPID_KEY:
        return
    last_runs.reset(arrivals.REQUESTED)  # first: what arrives from now on may request another task
    budget = Budget()
    arrivals.forget_old()
    repeat(arrivals.decide_some, budget)
    with closing(push_sessions.new_session()) as session:
        repeat(lambda: pushes.send_some(session), budget)


@quoting_nobody
def digest() -> int:
    """Mail the digests that are due."""
    return digests.send_digests()
