"""What the store is asked to do, and in which order: jobs of one link take effect as they were handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeGuard, TypeVar

from ..services.messages.fanout import Fanout
from ..services.messages.posting import LATER, Later
from ..services.messages.posts import Post
from ..services.queue.batch import Service

T = TypeVar("T")
J = TypeVar("J", bound="PostJob | ServiceJob[Any]")


@dataclass(slots=True, eq=False)
class PostJob:
    """A post to queue. Once a post to many has begun, `fanout` is what is left of it: one step in each batch.

    `done` is called with the post's number, or with the exception that says why it was not queued.
    """

    link: Hashable
    post: Post
    done: Callable[[int | Exception], None]
    fanout: Fanout | None = None
    result: int | Exception | Fanout | Later = LATER
    savepoint: ClassVar[bool] = False

    def report(self) -> None:
        """Call `done`, after the last step."""
        if not isinstance(self.result, (Fanout, Later)):
            self.done(self.result)


@dataclass(slots=True, eq=False)
class ServiceJob(Generic[T]):
    """A service to run. `done` is called with what it returned, or with the exception that it raised.

    A service that raises Refused, if at all, before it writes needs no savepoint.
    """

    link: Hashable
    service: Service[T]
    done: Callable[[T | Exception], None]
    savepoint: bool = True
    result: T | Exception | Later = LATER

    def report(self) -> None:
        """Call `done`."""
        if not isinstance(self.result, Later):
            self.done(self.result)


Job = PostJob | ServiceJob[Any]


class Order:
    """Jobs that are left from one batch to the next: posts to many, one at a time, and what waits for their end."""

    def __init__(self) -> None:
        self._unfinished: deque[PostJob] = deque()  # posts to many; the first is being worked on
        self._held: dict[Hashable, list[Job]] = {}  # what waits for the end of each, by its link
        self._due: list[Job] = []  # what waited for one that has ended
        self._stepping = False  # the last batch took a step

    def __bool__(self) -> bool:
        return bool(self._unfinished or self._due)

    def admit(self, jobs: list[Job]) -> list[Job]:
        """Return what can be done now: of the new jobs, of those that waited, and of the posts to many one step.

        Not in two batches one after another, while there is something else to do: who comes during one step need not
        wait for the next.
        """
        jobs, self._due = self._due + jobs, []
        free: list[Job] = []
        for job in jobs:
            self._held.get(job.link, free).append(job)
        self._stepping = bool(self._unfinished and not (free and self._stepping))
        return [self._unfinished[0], *free] if self._stepping else free

    def settle(self, jobs: list[Job]) -> list[Job]:
        """Keep what has only begun, or has not, and return the jobs that are done."""
        done = []
        for job in jobs:
            match job:
                case PostJob(result=Fanout() as fanout) if job.fanout or job.link not in self._held:
                    self._go_on(job, fanout)
                case PostJob(result=Fanout() | Later()) | ServiceJob(result=Later()):
                    self._held.get(job.link, self._due).append(job)
                case _:
                    done.append(job)
                    if self._unfinished and job is self._unfinished[0]:
                        self._unfinished.popleft()
                        self._due += self._held.pop(job.link)
        return done

    def _go_on(self, job: PostJob, fanout: Fanout) -> None:
        if job.fanout is None:
            self._unfinished.append(job)
            self._held[job.link] = []
        job.fanout = fanout


def phases(jobs: list[Job]) -> Iterator[tuple[list[PostJob], list[Job]]]:
    """Split jobs into posts to run together, then others; again until none is left. Each link's jobs keep their order.

    A step of a post to many is one of the others.
    """
    while jobs:
        posts, rest = _leading(jobs, _is_new_post)
        calls, jobs = _leading(rest, _is_call)
        yield posts, calls


def _is_new_post(job: Job) -> TypeGuard[PostJob]:
    return isinstance(job, PostJob) and job.fanout is None


def _is_call(job: Job) -> TypeGuard[Job]:
    return not _is_new_post(job)


def _leading(jobs: list[Job], fits: Callable[[Job], TypeGuard[J]]) -> tuple[list[J], list[Job]]:
    """Return the jobs that fit and that no unfit one of the same link comes before; and all others."""
    held: set[Hashable] = set()
    leading: list[J] = []
    others: list[Job] = []
    for job in jobs:
        if job.link not in held and fits(job):
            leading.append(job)
        else:
            held.add(job.link)
            others.append(job)
    return leading, others


def put_off(jobs: list[J], links: set[Hashable]) -> list[J]:
    """Return the jobs but those of the links, which are not for this batch."""
    for job in jobs:
        if job.link in links:
            job.result = LATER
    return [job for job in jobs if job.link not in links]
