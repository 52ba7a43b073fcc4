"""The open links of this process: open, log in, close."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from ..services.people import users
from ..services.queue.batch import Service
from ..store.interface import AnyStore
from .dispatcher import Dispatcher
from .limits import Limits
from .online import Link, Online

T = TypeVar("T")
SETTLE = 1.0  # seconds in which requests and messages may be acknowledged when the server stops
FAREWELL = 1.0  # seconds after that in which links may finish sending
DRAIN_STEP = 0.5  # seconds between two looks at the links that drain
QUIET = 1.0  # seconds since a client was heard: it is not in the middle of something


class Links:
    """All open links, logged in or not."""

    def __init__(self, store: AnyStore, dispatcher: Dispatcher, online: Online, limits: Limits) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._online = online
        self._limits = limits
        self._links: set[Link] = set()
        self._by_node: dict[int, Link] = {}  # those that have logged in

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links))

    def __contains__(self, link: Link) -> bool:
        return link in self._links

    def of(self, node: int) -> Link | None:
        """Return the link of a node that has logged in here, or None."""
        return self._by_node.get(node)

    def open(self, link: Link) -> bool:
        """Add a new link. Return False, without adding it, if there are too many and the server has not counted it."""
        if not link.counted and not self._limits.open(link.address):
            return False
        self._links.add(link)
        return True

    async def claim(
        self, link: Link, service: Service[T], sender_of: Callable[[T], users.LoggedIn], lease: int, *, savepoint: bool
    ) -> T:
        """Have the store run a service that connects a node to this server, under a lease. Return its result.

        From then on the node is the link's, and `farewell` frees it. It is freed at once when the link has ended
        meanwhile. Raise what the service raises.
        """

        def claimed(result: T) -> None:
            sender = sender_of(result)
            if link in self._links:
                link.sender, link.lease = sender, lease
            else:
                self._free(link, sender, lease)

        return await self._store.run(link, service, savepoint=savepoint, claimed=claimed)

    async def welcome(self, link: Link) -> None:
        """Greet a link that has logged in, and begin delivery to it."""
        assert link.sender is not None and link.sender.node is not None
        contacts = await self._online.arrive(link, link.sender)
        if contacts is None:
            return
        self._store.connected(link.sender.node)
        self._by_node[link.sender.node] = link
        link.lane = self._dispatcher.attach(link.sender.node, link.send, link.close)
        link.greet(contacts)

    def farewell(self, link: Link) -> None:
        """Remove a link that has ended, and free its node, however far its login had come. Do it only once."""
        if link not in self._links:
            return
        self._links.discard(link)
        if not link.counted:
            self._limits.close(link.address)
        if link.sender is None:
            return
        if link.lane is not None:
            self._dispatcher.detach(link.lane)
            self._store.disconnected(link.lane.node)
            link.lane = None  # end the reference cycle between link and lane
        if self._by_node.get(link.sender.node or 0) is link:
            del self._by_node[link.sender.node or 0]
        self._online.leave(link, link.sender.uid)
        self._free(link, link.sender, link.lease)

    def _free(self, link: Link, sender: users.LoggedIn, lease: int) -> None:
        # With the lease of the login: the node may have connected again, under a newer lease of this server.
        assert sender.node is not None
        self._store.do(link, partial(users.disconnect, sender.node, lease), savepoint=False)

    def close_overdue(self, now: float) -> None:
        """Close the links whose clients have been silent for too long, or whose data arrives too slowly."""
        for link in self:
            if link.is_overdue(now):
                link.close()

    async def drain(self, seconds: float, stop: asyncio.Event) -> None:
        """Close links while nothing is in flight on them and their clients are quiet, evenly over some seconds.

        Return when there are none any more, at the end of that time, or when `stop` is set.
        """
        last = time.monotonic() + seconds
        while self._links and not stop.is_set() and (left := last - time.monotonic()) > 0:
            quiet_since = time.monotonic() - QUIET
            share = math.ceil(len(self._links) * DRAIN_STEP / max(left, DRAIN_STEP))
            for link in islice([link for link in self if link.is_idle and link.heard < quiet_since], share):
                link.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left, DRAIN_STEP))

    async def settle(self) -> None:
        """Close each link as soon as nothing is in flight on it, for at most SETTLE seconds."""
        last = time.monotonic() + SETTLE
        while self._links and time.monotonic() < last:
            for link in self:
                if link.is_idle:
                    link.close()
            await asyncio.sleep(0.02)

    def close_all(self) -> None:
        """Close all links. Clients connect again if the server still runs."""
        for link in self:
            link.close()

    async def closed(self) -> None:
        """Wait until all links have ended, at most FAREWELL seconds."""
        last = time.monotonic() + FAREWELL
        while self._links and time.monotonic() < last:
            await asyncio.sleep(0.02)
