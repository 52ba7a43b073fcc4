"""The open links of this process: how they come in, log in and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from ..services.people import users
from ..services.queue.batch import without_batch
from ..store.store import Store
from .dispatcher import Dispatcher
from .limits import Limits
from .online import Link, Online

FAREWELL = 2.0  # seconds that links get to send their last words when the server stops


class Links:
    """All open links, logged in or not."""

    def __init__(self, store: Store, dispatcher: Dispatcher, online: Online, limits: Limits) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._online = online
        self._limits = limits
        self._links: set[Link] = set()

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links))

    def open(self, link: Link) -> bool:
        """Take in a new link; return False when its address has too many."""
        if not self._limits.open(link.address):
            return False
        self._links.add(link)
        return True

    def welcome(self, link: Link, sender: users.LoggedIn, lease: int) -> None:
        """Greet a link that has logged in under a lease, and begin to deliver."""
        assert sender.node is not None
        link.sender = sender
        link.lease = lease
        link.greet(self._online.arrive(link, sender))
        link.lane = self._dispatcher.attach(sender.node, link.send, link.close)

    def farewell(self, link: Link) -> None:
        """Forget a link that has ended, and free its node."""
        self._links.discard(link)
        self._limits.close(link.address)
        if link.lane is None or link.sender is None:
            return
        node = link.lane.node
        self._dispatcher.detach(link.lane)
        link.lane = None  # so that nothing holds on to the link
        self._online.leave(link, link.sender.uid)
        # By now this server may have another lease, under which the node may have come again.
        self._store.do(link, without_batch(users.disconnect, node, link.lease), savepoint=False)

    def close_overdue(self, now: float) -> None:
        """Close the links whose clients have been silent for too long."""
        for link in self:
            if link.is_overdue(now):
                link.close()

    def close_all(self) -> None:
        """Close all links. Their clients come again, if the server is still there."""
        for link in self:
            link.close()

    async def closed(self) -> None:
        """Wait until all links have ended, FAREWELL seconds at most."""
        last = time.monotonic() + FAREWELL
        while self._links and time.monotonic() < last:
            await asyncio.sleep(0.02)
