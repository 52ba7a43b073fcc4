"""The jobs of the store, and their order. Jobs of one link take effect in the order in which they were submitted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeGuard, TypeVar

from ..services.messages.fanout import Fanout
from ..services.messages.posting import LATER, Later
from ..services.messages.posts import Post, cost_of
from ..services.queue.batch import Service
from .sharing import share

T = TypeVar("T")
J = TypeVar("J", bound="PostJob | ServiceJob[Any]")
NEARLY = 0.5  # seconds; who has waited for almost long enough is answered together with those who have


@dataclass(slots=True, eq=False)
class PostJob:
    """A post to queue. For a post to many that has begun, `fanout` is the rest of it, one step in each batch.

    `done` is called with the post's number, or with the error. It waits since `since` (time.monotonic()).
    """

    link: Hashable
    post: Post
    done: Callable[[int | Exception], None]
    fanout: Fanout | None = None
    result: int | Exception | Fanout | Later = LATER
    since: float = field(default_factory=time.monotonic)
    cost: int = field(init=False)  # how many recipients it counts as
    savepoint: ClassVar[bool] = False

    def report(self) -> None:
        """Call `done` with the result, unless the post is not finished."""
        if not isinstance(self.result, (Fanout, Later)):
            self.done(self.result)

    def __post_init__(self) -> None:
        note = self.post.notification
        self.cost = cost_of(self.post.recipients, note.recipients if note else None)

    @property
    def user(self) -> int:
        """The sender."""
        return self.post.sender.user


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
    since: float = field(default_factory=time.monotonic)
    cost: ClassVar[int] = 0
    user: ClassVar[None] = None

    def report(self) -> None:
        """Call `done` with the result, unless the job has been put off."""
        if not isinstance(self.result, Later):
            self.done(self.result)


Job = PostJob | ServiceJob[Any]


class Order:
    """The jobs that are carried over to the next batch: posts to many, jobs that wait for them or for their share.

    One post to many is in progress for each user who has sent some. Each step is another user's.
    """

    def __init__(self) -> None:
        self._unfinished: dict[int, deque[PostJob]] = {}  # posts to many, by user; the next step is the first user's
        self._held: dict[Hashable, list[Job]] = {}  # jobs that wait for the post to many of their link, by link
        self._due: list[Job] = []  # jobs that waited for a post that is finished now
        self._later: list[Job] = []  # jobs of users who have had their share of the last batch
        self._step: PostJob | None = None  # the post of which the last batch included a step

    def __bool__(self) -> bool:
        return bool(self._unfinished or self._due or self._later)

    def admit(self, jobs: list[Job]) -> list[Job]:
        """Return the jobs of the next batch: new ones, those that have waited, and one step of a post to many.

        While there are other jobs, every other batch is without a step, so that a job that arrives during a step does
        not wait for a second one.
        """
        jobs, self._due = [*self._due, *self._later, *jobs], []
        free: list[Job] = [] if self._held else jobs
        if self._held:
            for job in jobs:
                self._held.get(job.link, free).append(job)
        now, self._later = share(free)
        self._step = self._next_step() if self._unfinished and not (free and self._step) else None
        return [self._step, *now] if self._step else list(now)

    def settle(self, jobs: list[Job]) -> list[Job]:
        """Keep the jobs that have not finished or were put off, and return those that are done."""
        done = []
        for job in jobs:
            if not isinstance(job.result, (Fanout, Later)):
                done.append(job)
                if job is self._step:
                    self._end(self._step)
                continue
            match job:
                case PostJob(result=Fanout() as fanout) if job.fanout or job.link not in self._held:
                    self._go_on(job, fanout)
                case _:
                    self._held.get(job.link, self._due).append(job)
        return done

    def _next_step(self) -> PostJob:
        """Return the post to many whose turn it is, and let the other users' posts come before it next time."""
        user = next(iter(self._unfinished))
        self._unfinished[user] = posts = self._unfinished.pop(user)
        return posts[0]

    def _go_on(self, job: PostJob, fanout: Fanout) -> None:
        if job.fanout is None:
            self._unfinished.setdefault(job.user, deque()).append(job)
            self._held[job.link] = []
        job.fanout = fanout
        job.since = time.monotonic()  # each step may take its time

    def _end(self, job: PostJob) -> None:
        self._unfinished[job.user].popleft()
        if not self._unfinished[job.user]:
            del self._unfinished[job.user]
        self._due += self._held.pop(job.link)


def phases(jobs: list[Job]) -> Iterator[tuple[list[PostJob], list[Job]]]:
    """Yield phases until no job is left: posts to run together, then other jobs. Jobs of one link keep their order.

    A step of a post to many is one of the other jobs.
    """
    posts = [job for job in jobs if _is_new_post(job)]
    if posts and len(posts) == len(jobs):  # the common case
        yield posts, []
        return
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


def fail_overdue(jobs: Iterable[Job], error: Exception, patience: float) -> None:
    """Set the error as the result of all jobs that have waited for so many seconds, and put the others off."""
    now = time.monotonic() + NEARLY
    for job in jobs:
        if now - job.since >= patience:
            job.result = error
        elif isinstance(job, PostJob) and job.fanout:
            job.result = job.fanout  # as it was before this step
        else:
            job.result = LATER


def put_off(jobs: list[J], links: set[Hashable]) -> list[J]:
    """Return the jobs without those of these links, which are put off to a later batch."""
    if not links:
        return jobs
    for job in jobs:
        if job.link in links:
            job.result = LATER
    return [job for job in jobs if job.link not in links]
