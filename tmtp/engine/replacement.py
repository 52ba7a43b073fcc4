"""A device that logs in while it seems to be connected. Its old link is closed, unless the client there is alive.

A client is alive if it has sent something lately, or does within seconds of a message that clients acknowledge. What
the kernel acknowledges is no sign: it does so for a program that has stopped, too. If the old link is at another
server, that server is asked to look, with a mark in the database (docs/decisions/0021-limits.md).
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from ..services.people import users
from ..store.interface import AnyStore
from .links import Links
from .online import Link

LATELY = 2.0  # seconds since a client was heard in which it is taken to be alive
PATIENCE = 2.0  # seconds in which it must answer
ELSEWHERE = PATIENCE + 2.0  # seconds in which another server must answer
LOOK = 0.05  # seconds between two looks at a link
ASK = 0.2  # seconds between two looks at what another server has answered


class Replacement:
    """The old links of devices that log in again."""

    def __init__(self, store: AnyStore, links: Links) -> None:
        self._store = store
        self._links = links
        self._answers: dict[int, asyncio.Task[None]] = {}  # for other servers, by node

    async def free(self, nodeid: str) -> bool:
        """Close the link over which the node with this secret is connected, if its client is not alive.

        Return whether the node can be connected now. Raise Unavailable.
        """
        place = await self._store.run(None, partial(users.place_of, nodeid))
        if place is None:
            return False
        node, server = place
        if server is None:
            return True
        return await (self._free_here(node) if server == self._store.lease else self._free_elsewhere(node, server))

    def answer(self, node: int) -> None:
        """Free a node that is logging in at another server, or tell it that the client here is alive."""
        if node not in self._answers:
            self._answers[node] = asyncio.create_task(self._answer(node, self._store.lease))

    async def _answer(self, node: int, lease: int) -> None:
        try:
            if not await self._free_here(node):
                self._store.do(None, partial(users.keep_connected, node, lease), savepoint=False)
        finally:
            del self._answers[node]

    async def _free_here(self, node: int) -> bool:
        link = self._links.of(node)
        if link is None or await self._is_alive(link):
            return False
        link.close()
        self._links.farewell(link)  # the link itself may take until its client is given up
        return True

    async def _is_alive(self, link: Link) -> bool:
        begun = time.monotonic()
        if begun - link.heard < LATELY:
            return True
        is_sending = link.unsent_octets > 0
        link.probe()
        while time.monotonic() - begun < PATIENCE and link in self._links:
            await asyncio.sleep(LOOK)
            if link.heard > begun or (is_sending and link.moved > begun):
                return True
        return False

    async def _free_elsewhere(self, node: int, server: int) -> bool:
        last = time.monotonic() + ELSEWHERE
        await self._store.run(None, partial(users.contest, node, server))
        while time.monotonic() < last:
            await asyncio.sleep(ASK)
            kept = await self._store.run(None, partial(users.was_kept, node, server))
            if kept is not None:
                return not kept
        return False
