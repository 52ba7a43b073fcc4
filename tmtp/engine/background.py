"""The recurring tasks of the links of a process. Each is a loop that runs until it is cancelled."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from django.db import Error

from ..conf import conf
from ..services.monitoring import figures, samples
from ..services.storage import handover
from ..services.storage.outages import Outage
from ..store.transactions import Unavailable

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("tmtp")
_looking_after = Outage("the service is not looked after: %s", "the service is looked after again")
_sampling = Outage("no sample was taken: %s", "samples are taken again")
TICK = 1.0  # seconds
HEARTBEAT = 5.0
TOLD_POLL = 1.0  # seconds between polls while other processes tell of their changes


class Background:
    """The background tasks of one server."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._dispatcher = engine.dispatcher
        self._handover = engine.handover
        self._links = engine.links
        self._lease = engine.lease
        self._limits = engine.limits
        self._shared_limits = engine.shared_limits
        self._servers = engine.servers
        self._peers = engine.online.peers
        self._counters = engine.counters
        self._own = engine.figures
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all tasks."""
        loops = (
            self._tick(),
            self._poll(),
            self._handover.listen(self._lease, self._take, self._peers.start_over),
            self._shared_limits.work(),
            self._sample(),
        )
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    def stop(self) -> None:
        """Cancel all tasks."""
        for task in self._tasks:
            task.cancel()

    def _take(self, notice: str) -> None:
        """Take a notice of another process."""
        match notice[:1]:
            case handover.POSTED:
                self._dispatcher.read(handover.numbers_of(notice))
            case handover.MARKED:
                self._dispatcher.look()
            case handover.SAID:
                self._peers.hear(notice)
            case _:
                log.warning("a notice is not understood: %.100r", notice)

    async def _tick(self) -> None:
        """Close silent links, send unacknowledged messages again, and check the lease, each second."""
        tidy_at = 0.0
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            try:
                now = time.monotonic()
                self._counters.tick(now - due)
                self._links.close_overdue(now)
                self._counters.resent += self._dispatcher.resend(now)
                self._dispatcher.forget_acks()
                self._servers.look()
                self._peers.keep_alive()
                await self._lease.check()
                if now >= tidy_at:
                    tidy_at = now + HEARTBEAT
                    self._tidy()
                _looking_after.over()
            except Unavailable as error:
                _looking_after.met(error)
            except Exception:
                log.exception("the service could not be looked after")

    def _tidy(self) -> None:
        """Delete old rates, and write this server's figures."""
        self._limits.forget()
        if self._lease.id:
            self._store.do(None, partial(figures.record, self._lease.id, self._own.values()))

    async def _sample(self) -> None:
        """Keep the figures for the plots, and measure the whole service, at the beginning of each minute.

        The store comes first: while it has no database, another connection would make an empty one on SQLite.
        """
        while True:
            await asyncio.sleep(samples.until_next())
            try:
                if self._lease.id:
                    await self._store.run(None, partial(samples.record, self._lease.id, self._own.values()))
                    await asyncio.to_thread(samples.take_whole)
                    _sampling.over()
            except (Error, Unavailable) as error:
                _sampling.met(error)
            except Exception:
                log.exception("no sample was taken")

    async def _poll(self) -> None:
        """Poll the database for changes by other processes: less often while these tell of their changes."""
        polled = -inf
        while True:
            await asyncio.sleep(conf.POLL)
            now = time.monotonic()
            is_due = now - polled >= TOLD_POLL or not self._handover.is_listening
            if is_due:
                polled = now
            self._dispatcher.poll(begin=is_due)
