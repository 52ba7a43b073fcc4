"""The acknowledgements that a query may not see, because the store had not committed them when it ran.

Those before some point are forgotten when the store has committed them, and all queries that began before that have
ended. So there are those of a few looks, however long a link lasts.
"""

from __future__ import annotations

from functools import partial

from ..store.interface import AnyStore
from ..store.transactions import Unavailable

Ack = tuple[int, int]  # a node's id, and the number of a message


def all_committed() -> None:
    """Do nothing. Whoever has the store run this learns that all that was submitted before is committed."""


class RecentAcks:
    """What `in` finds in it has been acknowledged. Call `forget` now and then."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self._new: set[Ack] = set()
        self._old: set[Ack] = set()  # those that are forgotten next
        self._running: set[str] = set()  # queries
        self._before: set[str] = set()  # those of them that began before the old ones were committed

    def add(self, ack: Ack) -> None:
        """Add an acknowledgement that was submitted to the store."""
        self._new.add(ack)

    def __contains__(self, ack: Ack) -> bool:
        return ack in self._new or ack in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def begin(self, query: str) -> None:
        """Note that a query begins, of which one at a time runs."""
        self._running.add(query)

    def end(self, query: str) -> None:
        """Note that it has ended, and its result was used."""
        self._running.discard(query)
        if query in self._before:
            self._before.discard(query)
            self._forget()

    def forget(self) -> None:
        """Begin to forget those up to now, unless some are being forgotten."""
        if not self._old and self._new:
            self._old, self._new = self._new, set()
            self._store.read(partial(all_committed), self._committed)

    def _committed(self, result: Unavailable | None) -> None:
        if isinstance(result, Unavailable):
            self._new |= self._old
            self._old = set()
            return
        self._before = set(self._running)
        self._forget()

    def _forget(self) -> None:
        if not self._before:
            self._old = set()
