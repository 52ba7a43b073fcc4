"""The lease of this server: other processes see by it that the server lives, and which nodes are connected to it."""

from __future__ import annotations

import logging
import os
from functools import partial

from ..services.people import users
from ..services.queue import leases
from ..store.interface import AnyStore
from .dispatcher import Dispatcher
from .links import Links

log = logging.getLogger("tmtp")


class Lease:
    """Taken when the server starts; the store renews it with each batch."""

    def __init__(self, store: AnyStore, dispatcher: Dispatcher, links: Links, address: str) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._links = links
        self._address = address
        self._failures = 0  # the store's that were looked into
        self._claimed: set[int] = set()  # nodes that the database has as connected here, and that are not

    @property
    def id(self) -> int:
        """The lease's primary key, 0 before it is taken."""
        return self._store.lease

    async def take(self) -> None:
        """Take a new lease. Raise Unavailable."""
        await self._store.take_lease(self._address, os.getpid(), instead_of=self.id)

    def release(self) -> None:
        """Give the lease up: the process ends."""
        if self.id:
            self._store.end_lease(self.id)

    async def check(self) -> None:
        """Take a new lease if another process has ended this one, and free nodes that are no longer connected."""
        if self.id in self._store.lost:
            await self._start_over()
        if self._claimed or self._failures != self._store.failures:
            await self._free_nodes()

    async def _start_over(self) -> None:
        """Close all links, so that they come again: the server was thought dead, and its nodes may be elsewhere."""
        log.error("this server's lease was ended by another; closing all links")
        self._links.close_all()
        await self.take()

    async def _free_nodes(self) -> None:
        """Free the nodes that seem connected because the database was away as they came or went.

        A node that has just logged in seems so too: one is freed when it seemed so twice in a row.
        """
        self._failures = self._store.failures
        found = await self._store.run(None, partial(leases.nodes, self.id)) - self._dispatcher.lanes.keys()
        for node in found & self._claimed:
            self._store.do(None, partial(users.disconnect, node, self.id))
        self._claimed = found
