"""Share a batch between the users whose posts wait, by the number of recipients (docs/decisions/0021-limits.md).

Nobody can fill a batch with posts of their own: those beyond the user's share wait for the next batch. While there is
room for all posts, nothing is counted for each user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from typing import Protocol, TypeVar

ROOM = 500  # recipients for whom all posts are run in one batch, whoever sent them
SHARE = 250  # the most recipients of one user in a batch with more, unless one post has more
BATCH = 4000  # recipients of all users in a batch
J = TypeVar("J", bound="Waiting")


class Waiting(Protocol):
    """A job that waits for a batch."""

    link: Hashable

    @property
    def cost(self) -> int:
        """The recipients of a post; 0 for any other job."""

    @property
    def user(self) -> int | None:
        """The user whose post it is."""


def share(jobs: Sequence[J]) -> tuple[Sequence[J], list[J]]:
    """Return the jobs to run in this batch, and those that wait for the next one. Jobs of a link keep their order."""
    if sum([job.cost for job in jobs]) <= ROOM:
        return jobs, []
    demands: Counter[int | None] = Counter()
    for job in jobs:
        demands[job.user] += job.cost
    most = fair_share(demands.values())
    taken: Counter[int | None] = Counter()
    waiting: set[Hashable] = set()  # links
    now, later = [], []
    for job in jobs:
        cost = job.cost
        if job.link in waiting or (cost and taken[job.user] and taken[job.user] + cost > most):
            waiting.add(job.link)
            later.append(job)
        else:
            taken[job.user] += cost
            now.append(job)
    return now, later


def fair_share(demands: Collection[int]) -> int:
    """Return how many recipients each user may have, so that all have at most BATCH. Small demands are met first."""
    left, users = BATCH, len(demands)
    for demand in sorted(demands):
        if demand * users > left:
            return min(SHARE, left // users)
        left -= demand
        users -= 1
    return SHARE
