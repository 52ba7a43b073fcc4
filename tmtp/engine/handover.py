"""Hands messages that this server has committed over to other servers, and takes the notices of other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from contextlib import suppress

from django.db import Error

from ..services.queue import routing
from ..services.queue.batch import Parcel
from ..services.storage import handover
from ..services.storage.handover import Notice, Sender
from ..services.storage.hints import shared_layer
from ..services.storage.outages import Outage
from .lease import Lease

_posting = Outage("new messages were not handed over: %s", "new messages are handed over again")
LEASE_CHECK = 1.0  # seconds
STOP_PATIENCE = 0.5


class HandOver:
    """What servers say, and what goes out over a channel layer, is sent by the loop; the rest by the store's thread.

    `connected` returns the nodes that are connected here, and `leases` the leases under which they are.
    """

    def __init__(self, connected: Callable[[], Container[int]], leases: Callable[[], Container[int]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connected = connected
        self._leases = leases
        self._task: asyncio.Task[None] | None = None
        self.is_listening = False  # whether notices of other processes arrive
        self._due: asyncio.Queue[Sequence[Notice]] = asyncio.Queue()

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
                self._loop.call_soon_threadsafe(self.tell, handover.posted(routes))
            else:
                handover.send_now(handover.posted(routes))
            _posting.over()
        except (Error, RuntimeError) as error:  # the loop may be closed
            _posting.met(error)

    def tell(self, notices: Sequence[Notice]) -> None:
        """Send notices to other servers, in order."""
        self._due.put_nowait(notices)

    def start(self) -> None:
        """Begin to send what is due."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Send what is due, for STOP_PATIENCE seconds at most."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._due.join(), STOP_PATIENCE)
        self._task.cancel()

    async def _work(self) -> None:
        sender = Sender()
        try:
            while True:
                notices = [await self._due.get()]
                while not self._due.empty():
                    notices.append(self._due.get_nowait())
                await sender.send([notice for some in notices for notice in some])
                for _ in notices:
                    self._due.task_done()
        finally:
            await sender.close()

    async def listen(self, lease: Lease, take: Callable[[str], object], listening: Callable[[], object]) -> None:
        """Call `take` with the notices for this server, under whatever lease it has, until the task is cancelled.

        `listening` is called before, and again when notices may have been lost.
        """

        def hears(notices: bool) -> None:
            self.is_listening = notices
            if notices:
                listening()

        while True:
            listened_for = lease.id
            task = asyncio.create_task(handover.listen(listened_for, take, hears))
            try:
                while lease.id == listened_for:
                    await asyncio.sleep(LEASE_CHECK)
            finally:
                task.cancel()
                self.is_listening = False
