"""The other servers that are alive, as this one sees them.

A server that is killed loses its lock at once (docs/decisions/0015-leases.md), so it is noticed here within seconds.
After the database was away, all servers seem gone for a moment. So a server is gone when two looks in a row do not
find it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..services.queue import leases
from ..store.interface import AnyStore
from ..store.transactions import Unavailable


class Servers:
    """Call `look` every second or so. `changed` is called after the servers in `others` have changed."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self._looking = False
        self._missed: set[int] = set()  # those that the last look did not find
        self.others: set[int] = set()  # their leases
        self.changed: list[Callable[[], object]] = []

    def look(self) -> None:
        """Have the store read which servers are alive."""
        if not self._looking and self._store.lease:
            self._looking = True
            self._store.read(partial(leases.alive, self._store.lease), self._looked)

    def heard(self, server: int) -> None:
        """Note that another server has said something. It may be new."""
        if server not in self.others and server != self._store.lease:
            self._change(self.others | {server})

    def _looked(self, alive: set[int] | Unavailable) -> None:
        self._looking = False
        if isinstance(alive, Unavailable):
            return
        gone = self.others - alive
        others = alive | (gone - self._missed)
        self._missed = gone
        if others != self.others:
            self._change(others)

    def _change(self, others: set[int]) -> None:
        self.others = others
        for call in self.changed:
            call()
