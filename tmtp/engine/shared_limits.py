"""Exchange what is counted under limits with the other processes, through the database.

What was spent of a rate is added to a row that all processes share, whose total comes back. Of links and uploads, each
server notes how many it has, and reads how many the other servers that are alive have. Nothing is exchanged while
nothing changes that is worth sharing, so an idle service writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial

from ..services.queue import limit_counts
from ..services.storage.outages import Outage
from ..store.interface import AnyStore
from ..store.transactions import Unavailable
from .limits import Limits
from .servers import Servers

log = logging.getLogger("tmtp")
_sharing = Outage("limits are not shared with other processes: %s", "limits are shared with other processes again")
EXCHANGE = 1.0  # seconds between exchanges
HURRY = 0.05  # seconds before what is exchanged for the first time


class SharedLimits:
    """The exchange of one server."""

    def __init__(self, store: AnyStore, limits: Limits, servers: Servers) -> None:
        self._store = store
        self._limits = limits
        self._servers = servers
        self._hurry = asyncio.Event()
        limits.hurry = self._hurry.set
        servers.changed.append(limits.share_all_held)

    async def work(self) -> None:
        """Exchange what is due, until the task is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EXCHANGE):
                    await self._hurry.wait()
                    await asyncio.sleep(HURRY)
            self._hurry.clear()
            try:
                await self._exchange_spent()
                await self._exchange_held()
                _sharing.over()
            except Unavailable as error:
                _sharing.met(error)
            except Exception:
                log.exception("limits could not be shared")

    async def _exchange_spent(self) -> None:
        rows = self._limits.take_spent()
        if not rows:
            return
        try:
            self._limits.learn_spent(rows, await self._store.run(None, partial(limit_counts.spend, rows)))
        except BaseException:
            self._limits.put_back(rows)
            raise

    async def _exchange_held(self) -> None:
        server, others = self._store.lease, self._servers.others
        counts = self._limits.take_held()
        if server and others and counts:
            names = list(counts)
            service = partial(limit_counts.share_open, server, names, list(counts.values()), sorted(others))
            try:
                self._limits.learn_held(names, await self._store.run(None, service))
            except BaseException:
                self._limits.share_all_held()
                raise
