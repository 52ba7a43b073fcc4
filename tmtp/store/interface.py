"""The interface of a store: of `Store`, which writes to the database, and of one in another process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

from ..services.messages.posts import Post
from ..services.queue.batch import Parcel, Service
from ..services.queue.reports import Note
from .transactions import Entry, Unavailable

T = TypeVar("T")
Deliver = Callable[[list[Parcel]], None]


class AnyStore(Protocol):
    """A store. Jobs of one link take effect in the order in which they were submitted."""

    broken: bool  # whether it has failed, so that the process must end
    failures: int  # batches that were not committed

    @property
    def lease(self) -> int:
        """The lease that was taken last, 0 if there is none."""

    @property
    def lost(self) -> frozenset[int]:
        """The leases that another process has ended."""

    def figures(self) -> dict[str, Any]:
        """Return what the store has counted and measured, for JSON."""

    async def take_lease(self, address: str, pid: int = 0, instead_of: int = 0) -> int:
        """Take a lease for a process that listens at `address`, instead of one that was lost. Raise Unavailable.

        Until the lease is ended or lost, each batch renews it.
        """

    def end_lease(self, lease: int) -> None:
        """End a lease: its process ends."""

    def connected(self, node: int) -> None:
        """Note that messages for a node can be delivered from now on. Call it before its queue is read."""

    def disconnected(self, node: int) -> None:
        """Note that no more messages for a node can be delivered."""

    def post(self, link: Hashable, post: Post, done: Callable[[int | Exception], None]) -> None:
        """Queue a post. `done` is called with its number, Refused or Unavailable."""

    def acknowledge(self, entry: Entry) -> None:
        """Delete the entry of a message that a node has acknowledged, with the next batch."""

    def note(self, note: Note) -> None:
        """Update the report of a tracked message, with the next batch."""

    def do(self, link: Hashable, service: Service[object], *, savepoint: bool = True) -> None:
        """Run a service in a batch's transaction. A failure is only logged."""

    async def run(
        self,
        link: Hashable,
        service: Service[T],
        *,
        savepoint: bool = True,
        claimed: Callable[[T], None] | None = None,
    ) -> T:
        """Run a service in a batch's transaction, and wait for the commit. Return its result, or raise its error.

        `claimed` is called with the result first, even if the caller has been cancelled meanwhile. Raise Unavailable
        if the batch cannot be committed.
        """
        raise NotImplementedError

    def read(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        """Run a query after all that was submitted before has been committed.

        `done` is called with its result, or with Unavailable.
        """

    def read_soon(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        """Run a query before the next batch. It may not see what was submitted before (`engine.recent_acks`).

        `done` is called with its result, or with Unavailable.
        """

    async def stop(self) -> None:
        """Commit all that was submitted, and end. Wait for a moment if the database is away."""

    def end(self) -> None:
        """Do the same as `stop`, in a process whose event loop has ended."""
