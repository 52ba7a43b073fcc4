"""What the store is asked to do, and in which order: jobs of one link take effect as they were handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from ..services.messages import posting
from ..services.messages.fanout import Fanout
from ..services.messages.posting import LATER, Later
from ..services.queue.batch import Service


@dataclass(slots=True, eq=False)
class Job:
    """Something to run in a transaction: a post, or a service. `done` gets the result or an exception.

    A post to many gets a service too, once it has begun: its next step.
    """

    link: Hashable
    done: Callable[[Any], None]
    post: posting.Post | None = None
    service: Service[Any] | None = None
    savepoint: bool = True  # not needed by a service that refuses, if at all, before it writes
    result: Any = None


class Order:
    """Jobs that are left from one batch to the next: posts to many, one at a time, and what waits for their end."""

    def __init__(self) -> None:
        self._unfinished: deque[Job] = deque()  # posts to many; the first is being worked on
        self._held: dict[Hashable, list[Job]] = {}  # what waits for the end of each, by its link
        self._due: list[Job] = []  # what waited for one that has ended
        self._stepping = False  # the last batch took a step

    def __bool__(self) -> bool:
        return bool(self._unfinished or self._due)

    def admit(self, jobs: list[Job]) -> list[Job]:
        """What can be done now: of the new jobs, of those that waited, and of the posts to many one step.

        Not in two batches one after another, while there is something else to do: who comes during one step need not
        wait for the next.
        """
        jobs, self._due = self._due + jobs, []
        free = []
        for job in jobs:
            self._held.get(job.link, free).append(job)
        self._stepping = bool(self._unfinished and not (free and self._stepping))
        return [self._unfinished[0], *free] if self._stepping else free

    def settle(self, jobs: list[Job]) -> list[Job]:
        """Keep what has only begun, or has not; gives the jobs that are done."""
        done = []
        for job in jobs:
            if isinstance(job.result, Fanout) and (job.service or job.link not in self._held):
                self._go_on(job, job.result)
            elif isinstance(job.result, Later | Fanout):
                self._held.get(job.link, self._due).append(job)
            else:
                done.append(job)
                if self._unfinished and job is self._unfinished[0]:
                    self._unfinished.popleft()
                    self._due += self._held.pop(job.link)
        return done

    def _go_on(self, job: Job, fanout: Fanout) -> None:
        if job.service is None:
            self._unfinished.append(job)
            self._held[job.link] = []
            job.savepoint = False
        job.service = fanout.step


def phases(jobs: list[Job]) -> Iterator[tuple[list[Job], list[Job]]]:
    """Jobs as posts to run together, then others; again until none is left. Each link's jobs keep their order."""
    while jobs:
        posts, rest = _leading(jobs, lambda job: job.service is None)
        calls, jobs = _leading(rest, lambda job: job.service is not None)
        yield posts, calls


def _leading(jobs: list[Job], fits: Callable[[Job], bool]) -> tuple[list[Job], list[Job]]:
    """The jobs that fit and that no unfit one of the same link comes before; and all others."""
    held: set[Hashable] = set()
    leading: list[Job] = []
    others: list[Job] = []
    for job in jobs:
        if fits(job) and job.link not in held:
            leading.append(job)
        else:
            held.add(job.link)
            others.append(job)
    return leading, others


def put_off(jobs: list[Job], links: set[Hashable]) -> list[Job]:
    """The jobs but those of the links, which are not for this batch."""
    for job in jobs:
        if job.link in links:
            job.result = LATER
    return [job for job in jobs if job.link not in links]
