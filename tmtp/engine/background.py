"""The background tasks of a server. Each is a loop that runs until it is cancelled."""

from __future__ import annotations

import asyncio
import logging
import time

from ..conf import conf
from ..services.messages import sweeping
from ..services.monitoring import figures, samples
from ..services.queue import leases, receipts
from ..services.queue.batch import without_batch
from ..services.storage.hints import listen
from ..store.store import Store
from ..store.transactions import Unavailable
from .counters import Counters
from .dispatcher import Dispatcher
from .figures import Figures
from .handover import HandOver
from .lease import Lease
from .limits import Limits
from .links import Links
from .site_signal import SiteSignal

log = logging.getLogger("tmtp")
TICK = 1.0  # seconds
HEARTBEAT = 5.0
SWEEP = 10.0


class Background:
    """The background tasks of one server."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        handover: HandOver,
        links: Links,
        lease: Lease,
        limits: Limits,
        counters: Counters,
        own: Figures,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._handover = handover
        self._links = links
        self._lease = lease
        self._limits = limits
        self._counters = counters
        self._own = own
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all tasks."""
        loops = (
            self._tick(),
            self._poll(),
            listen(self._dispatcher.look),
            self._handover.listen(self._lease, self._dispatcher.read),
            self._handover.work(),
            self._sweep(),
            self._sample(),
            SiteSignal().work(),
        )
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    def stop(self) -> None:
        """Cancel all tasks."""
        for task in self._tasks:
            task.cancel()

    async def _tick(self) -> None:
        """Each second, close silent links, send unacknowledged messages again, and check the lease."""
        tidy_at = 0.0
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            try:
                now = time.monotonic()
                self._counters.loop_late_seconds.add(max(0.0, now - due))
                self._links.close_overdue(now)
                self._counters.resent += self._dispatcher.resend(now)
                await self._lease.check()
                if now >= tidy_at:
                    tidy_at = now + HEARTBEAT
                    await self._tidy()
            except Unavailable as error:
                log.warning("%s", error)
            except Exception:
                log.exception("the service could not be looked after")

    async def _tidy(self) -> None:
        """Delete old receipts and rates, and write this server's figures.

        This commits, which renews the lease even when no message comes.
        """
        self._limits.forget()
        if self._lease.id:
            self._store.do(None, without_batch(figures.record, self._lease.id, self._own.values()))
        while await self._store.run(None, without_batch(receipts.purge)) == receipts.PURGED_AT_ONCE:
            pass

    async def _sample(self) -> None:
        """At the beginning of each minute, keep the figures for the plots, and measure the whole service."""
        while True:
            await asyncio.sleep(samples.until_next())
            try:
                await asyncio.to_thread(samples.take, self._lease.id, self._own.values())
            except Exception:
                log.exception("no sample was taken")

    async def _poll(self) -> None:
        """Poll the database for changes by other processes."""
        while True:
            await asyncio.sleep(conf.POLL)
            self._dispatcher.poll()

    async def _sweep(self) -> None:
        """Remove what concurrent transactions and crashes have left over, a few rows at a time."""
        sweeper = sweeping.Sweeper()
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await self._store.run(None, without_batch(leases.end_dead))
                found = await asyncio.to_thread(sweeper.look)
                if found:
                    await self._store.run(None, without_batch(sweeping.apply, found))
            except Unavailable as error:
                log.warning("%s", error)
            except Exception:
                log.exception("nothing could be swept")
