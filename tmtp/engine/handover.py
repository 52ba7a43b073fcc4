"""Hands messages that this server has committed over to other servers, and takes those of other processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container

from django.db import Error

from ..services.queue import routing
from ..services.queue.batch import Parcel
from ..services.storage import handover
from ..services.storage.handover import Routes
from ..services.storage.hints import shared_layer
from .lease import Lease

log = logging.getLogger("tmtp")
LEASE_CHECK = 1.0  # seconds


class HandOver:
    """What goes out over a channel layer goes through the loop, in order; the rest is sent by the store's thread.

    `connected` returns the nodes that are connected here, and `leases` the leases under which they are.
    """

    def __init__(self, connected: Callable[[], Container[int]], leases: Callable[[], Container[int]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connected = connected
        self._leases = leases
        self._due: asyncio.Queue[Routes] = asyncio.Queue()

    def send(self, parcels: list[Parcel]) -> None:
        """Hand over the messages of a batch that nodes wait for elsewhere. For the store's thread, after the commit.

        A failure is only logged: the other servers find the messages in the database.
        """
        here = self._connected()
        away = ((parcel.number, [node for node in parcel.nodes if node not in here]) for parcel in parcels)
        posted = [(number, nodes) for number, nodes in away if nodes]
        if not posted:
            return
        try:
            routes = routing.find_servers(posted, besides=self._leases())
            if routes and shared_layer() is not None:
                self._loop.call_soon_threadsafe(self._due.put_nowait, routes)
            else:
                handover.send_now(routes)
        except (Error, RuntimeError) as error:  # the loop may be closed
            log.warning("new messages were not handed over: %s", error)

    async def work(self) -> None:
        """Send what is due over the channel layer, until the task is cancelled."""
        while True:
            routes = await self._due.get()
            while not self._due.empty():
                for server, numbers in self._due.get_nowait().items():
                    routes.setdefault(server, []).extend(numbers)
            await handover.send_over_layer(shared_layer(), routes)

    async def listen(self, lease: Lease, notice: Callable[[list[int]], object]) -> None:
        """Call `notice` with what others hand over, under whatever lease this server has, until it is cancelled."""
        while True:
            listened_for = lease.id
            listening = asyncio.create_task(handover.listen(listened_for, notice))
            try:
                while lease.id == listened_for:
                    await asyncio.sleep(LEASE_CHECK)
            finally:
                listening.cancel()
