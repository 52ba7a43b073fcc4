"""Run a simulation against a server in another process."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

from ..client.link import Address
from .client import Run
from .report import Memory, Report
from .world import World

TICK = 0.5
T = TypeVar("T")
SETTLE = 30.0  # seconds without a delivery after which missing messages count as lost


@dataclass
class Plan:
    """What to simulate: the server, the number of members, and how long to run. `out` is where progress is shown."""

    address: Address
    tls: ssl.SSLContext | None
    members: int
    out: TextIO
    memory: Memory = lambda: None
    speedup: float = 1.0
    duration: float | None = None
    cycles: int | None = None


def simulate(plan: Plan) -> tuple[Report, float]:
    """Run a simulation. Return the report, and the seconds until the last delivery. Raise CannotBegin."""
    return run_loop(Simulation(plan).go())


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, or on asyncio's own loop if uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


class Simulation:
    """One run. The first SIGINT or SIGTERM ends it in order, the second one at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.begun = 0.0
        self.signals = 0

    async def go(self) -> tuple[Report, float]:
        """Register the users, run their clients, and wait for what is due."""
        plan = self.plan
        self.run = Run(World(plan.address, plan.tls), plan.speedup, plan.cycles)
        self.report = Report(self.run, plan.out, plan.memory, self._fraction)
        self._catch_signals()
        if not await self._populate():
            return self.report, 0.0
        self.begun = self.report.begun = time.monotonic()
        self.run.begin()
        while not self._is_over():
            self.report.update()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.run.stop.wait(), TICK)
        self.run.stop.set()
        seconds = await self._settle() - self.begun
        self.report.end_line()
        await self._end()
        return self.report, seconds

    async def _populate(self) -> bool:
        """Register the users and form their groups. Return False if a signal stopped it."""

        def say(phase: str) -> None:
            self.plan.out.write(f"{phase}\n")

        work = asyncio.ensure_future(self.run.world.populate(self.plan.members, say))
        stop = asyncio.ensure_future(self.run.stop.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done():
            work.cancel()
            return False
        work.result()
        return True

    def _fraction(self) -> float | None:
        """Return the fraction of the duration or of the cycles that is done."""
        plan = self.plan
        fractions = []
        if plan.duration:
            fractions.append((time.monotonic() - self.begun) / plan.duration)
        if plan.cycles:
            fractions.append(self.run.counts["cycles"] / plan.cycles / max(1, len(self.run.tasks)))
        return max(fractions, default=None)

    def _is_over(self) -> bool:
        late = self.plan.duration is not None and time.monotonic() - self.begun >= self.plan.duration
        return late or self.run.stop.is_set() or not self.run.busy

    async def _settle(self) -> float:
        """Wait until everything acknowledged has arrived, or nothing arrives for SETTLE seconds.

        Return the time of the last delivery."""
        ledger = self.run.world.ledger
        last, since = -1, time.monotonic()
        while (self.run.busy or ledger.due) and time.monotonic() - since < SETTLE and self.signals < 2:
            if ledger.arrived != last:
                last, since = ledger.arrived, time.monotonic()
            self.report.update(f"{ledger.due:,} due")
            await asyncio.sleep(TICK / 5)
        return since

    async def _end(self) -> None:
        for task in self.run.tasks:
            task.cancel()
        for result in await asyncio.gather(*self.run.tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def _catch_signals(self) -> None:
        def stop() -> None:
            self.signals += 1
            self.run.stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
