"""The workloads, one function each. `run_all` runs them, in the process that generates the load."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from tmtp.client.link import LinkEnded
from tmtp.simulation.run import run_loop
from tmtp.simulation.world import User, World

from .load import Load, Recipients, Target
from .measure import Row, Watch

USERS, GROUP_SENDERS, LINKS = 200, 20, 500
OFFLINE_POSTS = 4000
RATES = (250, 500, 1000, 1500, 2000, 3000, 4000, 6000)
ENOUGH_MS = 1000  # a median latency above this means that the server is overloaded
Progress = Callable[[str], None]


def print_progress(what: str) -> None:
    sys.stderr.write(f"  {what} ...\n")


def run_all(
    target: Target, links_target: Target, scale: float, progress: Progress = print_progress
) -> tuple[list[Row], list[Row]]:
    """Run all workloads on two new servers. Return the rows of the table and those of the chart.

    `scale` multiplies the duration of the workloads."""
    rows = run_loop(_many_links(Load(links_target), progress)) + run_loop(_posts(Load(target), scale, progress))
    return [row for row in rows if not row.offered], [row for row in rows if row.offered]


async def _many_links(load: Load, progress: Progress) -> list[Row]:
    """Measure registrations, idle links and logins on a server that has done nothing else."""
    world = load.world
    progress("links")
    empty = Watch(load.target.pid).row("", 0, 0, load.taken).memory
    world._name(LINKS)
    watch = Watch(load.target.pid)
    await asyncio.gather(*[world._register(user) for user in world.users])
    registered = watch.row("register", LINKS, 0, load.taken, "registrations/s, 50 at a time")
    await asyncio.sleep(1)
    idle = Watch(load.target.pid).row("idle", 0, 0, load.taken)
    idle.note = f"{1000 * (idle.memory - empty) / LINKS:.0f} kB for each of {LINKS} links"
    await load.disconnect(world.users)
    return [registered, idle, await _storm(load)]


async def _storm(load: Load) -> Row:
    watch = Watch(load.target.pid)
    failed = 0
    for _ in range(2):
        done = await asyncio.gather(*map(load.log_in, load.world.users), return_exceptions=True)
        failed += sum(isinstance(result, LinkEnded | OSError) for result in done)
        seconds = watch.seconds
        await load.disconnect(load.world.users)
        watch.begun += watch.seconds - seconds  # exclude the time for logging out
    note = f"logins/s, {LINKS} at once, twice" + (f"; {failed} failed" if failed else "")
    return watch.row("storm", 2 * LINKS - failed, 0, load.taken, note)


async def _posts(load: Load, scale: float, progress: Progress) -> list[Row]:
    progress("users and groups")
    await load.world.populate(USERS, lambda phase: None)
    users = load.world.users
    await load.connect(users)
    rows = []
    progress("live")
    work = load.closed_loop(users, to_two(load.world), time.perf_counter() + 12 * scale)
    rows.append(await load.measured("live", work))
    rows[-1].note = f"{USERS} clients, 400 octets to 2; {rows[-1].note}".rstrip("; ")
    progress("group")
    senders = users[:: USERS // GROUP_SENDERS]
    work = load.closed_loop(senders, to_group, time.perf_counter() + 8 * scale)
    rows.append(await load.measured("group", work))
    rows[-1].note = f"groups of 100, {GROUP_SENDERS} senders; {rows[-1].note}".rstrip("; ")
    progress("offline")
    rows += await _offline(load, int(OFFLINE_POSTS * scale))
    await load.connect(users[USERS // 2 :])
    rows += [row async for row in _rates(load, scale, progress)]
    return rows


async def _offline(load: Load, count: int) -> list[Row]:
    """Let half of the users post to the other half, who are offline, then log these in all at once."""
    users = load.world.users
    away, here = users[: USERS // 2], users[USERS // 2 :]
    await load.disconnect(away)
    load.reset()
    watch = Watch(load.target.pid)
    await load.closed_loop(here, to_two(load.world, away), float("inf"), count)
    stored = watch.row("offline, stored", load.acked, 0, load.taken, "to users who are away")
    load.reset()
    watch = Watch(load.target.pid)
    await load.disconnect(here)
    await asyncio.gather(*map(load.log_in, away))
    await load.settle()
    drained = watch.row("offline, drained", 0, load.arrived, load.taken, "all come back at once")
    drained.latencies = {}
    drained.note = f"{drained.note}; {load.trouble}".rstrip("; ")
    return [stored, drained]


async def _rates(load: Load, scale: float, progress: Progress) -> AsyncIterator[Row]:
    """Measure the latency at increasing rates, until the server is overloaded."""
    for rate in RATES:
        progress(f"{rate} posts/s")
        seconds = 5 * scale
        row = await load.measured("rate", load.open_loop(load.world.users, to_two(load.world), rate, seconds))
        row.offered = rate
        yield row
        if row.latencies[50] > ENOUGH_MS:
            return


def to_two(world: World, among: list[User] | None = None) -> Recipients:
    """Return a function that chooses two random users other than the sender."""
    rng = random.Random(1)
    users = among or world.users

    def choose(sender: User, number: int) -> tuple[list[dict[str, Any]], int]:
        chosen = [user for user in rng.sample(users, 3) if user is not sender][:2]
        return [{"id": user.uid, "type": 1} for user in chosen], len(chosen)

    return choose


def to_group(sender: User, number: int) -> tuple[list[dict[str, Any]], int]:
    """Choose the sender's group as the recipient."""
    return [{"id": sender.gid, "type": 2}], len(sender.group)
