"""The jobs of the store, and their order. Jobs of one link take effect in the order in which they were submitted."""

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
    """A post to queue. For a post to many that has begun, `fanout` is the rest of it, one step in each batch.

    `done` is called with the post's number, or with the error.
    """

    link: Hashable
    post: Post
    done: Callable[[int | Exception], None]
    fanout: Fanout | None = None
    result: int | Exception | Fanout | Later = LATER
    savepoint: ClassVar[bool] = False

    def report(self) -> None:
        """Call `done` with the result, unless the post is not finished."""
        if not isinstance(self.result, (Fanout, Later)):
            self.done(self.result)


@dataclass(slots=True, eq=False)
class ServiceJob(Generic[T]):
    """A service to run. `done` is called with what it returned, or with the error that it raised.

    A service that never raises Refused after it has begun to write needs no savepoint.
    """

    link: Hashable
    service: Service[T]
    done: Callable[[T | Exception], None]
    savepoint: bool = True
    result: T | Exception | Later = LATER

    def report(self) -> None:
        """Call `done` with the result, unless the job has been put off."""
        if not isinstance(self.result, Later):
            self.done(self.result)


Job = PostJob | ServiceJob[Any]


class Order:
    """The jobs that are carried over to the next batch: posts to many, one at a time, and jobs that wait for them."""

    def __init__(self) -> None:
        self._unfinished: deque[PostJob] = deque()  # posts to many; the first one is in progress
        self._held: dict[Hashable, list[Job]] = {}  # jobs that wait for the post to many of their link, by link
        self._due: list[Job] = []  # jobs that waited for a post that is finished now
        self._stepping = False  # whether the last batch included a step

    def __bool__(self) -> bool:
        return bool(self._unfinished or self._due)

    def admit(self, jobs: list[Job]) -> list[Job]:
        """Return the jobs of the next batch: new ones, those that have waited, and one step of a post to many.

        While there are other jobs, every other batch is without a step, so that a job that arrives during a step does
        not wait for a second one.
        """
        jobs, self._due = self._due + jobs, []
        free: list[Job] = []
        for job in jobs:
            self._held.get(job.link, free).append(job)
        self._stepping = bool(self._unfinished and not (free and self._stepping))
        return [self._unfinished[0], *free] if self._stepping else free

    def settle(self, jobs: list[Job]) -> list[Job]:
        """Keep the jobs that have not finished or were put off, and return those that are done."""
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
    """Yield phases until no job is left: posts to run together, then other jobs. Jobs of one link keep their order.

    A step of a post to many is one of the other jobs.
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
    """Return the jobs that fit, up to the first of each link that does not, and all others."""
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
    """Return the jobs without those of these links, which are put off to a later batch."""
    for job in jobs:
        if job.link in links:
            job.result = LATER
    return [job for job in jobs if job.link not in links]
