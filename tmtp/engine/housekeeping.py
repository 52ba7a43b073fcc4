"""The recurring tasks that concern the database as a whole, and not the links of one process.

Each process with a store runs them. They do no harm if several do.
"""

from __future__ import annotations

import asyncio
import logging

from ..services.groups import deletion
from ..services.messages import sweeping
from ..services.queue import leases, limit_counts, receipts
from ..services.queue.batch import without_batch
from ..services.storage.numbers import largest_number, numbers
from ..services.storage.outages import Outage
from ..signals import housekeeping
from ..store.store import Store
from ..store.transactions import Unavailable
from .clock import compare_with_database
from .site_signal import ArrivalSignal, SiteSignal

log = logging.getLogger("tmtp")
_tidying = Outage("old receipts are not deleted: %s", "old receipts are deleted again")
_sweeping = Outage("nothing is swept: %s", "leftovers are swept again")
HEARTBEAT = 5.0  # seconds
SWEEP = 10.0


class Housekeeping:
    """The tasks, and what the store needs before its first message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the store and the tasks. Raise Unavailable if the database is."""
        self._store.start()
        await self._store.run(None, without_batch(_prepare))
        signals = SiteSignal().work(), ArrivalSignal().work()
        self._tasks = [asyncio.create_task(loop) for loop in (self._tidy(), self._sweep(), *signals)]

    def stop(self) -> None:
        """Cancel all tasks."""
        for task in self._tasks:
            task.cancel()

    async def _tidy(self) -> None:
        """Delete old receipts. This commits, which renews the leases even when no message comes."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                while await self._store.run(None, without_batch(receipts.purge)) == receipts.PURGED_AT_ONCE:
                    pass
                _tidying.over()
            except Unavailable as error:
                _tidying.met(error)
            except Exception:
                log.exception("old receipts could not be deleted")

    async def _sweep(self) -> None:
        """Remove what concurrent transactions and crashes have left over, a few rows at a time."""
        sweeper = sweeping.Sweeper()
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await self._store.run(None, without_batch(leases.end_dead))
                await self._store.run(None, limit_counts.purge)
                await self._store.run(None, without_batch(deletion.finish))
                found = await asyncio.to_thread(sweeper.look)
                if found:
                    await self._store.run(None, without_batch(sweeping.apply, found))
                await self._store.run(None, without_batch(housekeeping.send, type(self)))
                _sweeping.over()
            except Unavailable as error:
                _sweeping.met(error)
            except Exception:
                log.exception("nothing could be swept")


def _prepare() -> None:
    """Check the clock, and make sure that new messages get higher numbers than all in the database."""
    numbers.start_after(largest_number())
    compare_with_database()
