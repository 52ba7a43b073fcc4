"""What devices notice of a server that is killed, replaced or restarted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial

from tmtp.tests.ledger import Crowd
from tmtp.tests.processes import until
from tmtp.tests.raw_client import Client, LoginRefused
from tmtp.tests.servers import Server

from .place import Databases

DEVICES = 50
DRAIN = 5  # seconds; TMTP["DRAIN"] is 120 by default
HEADINGS = ("what ends", "devices", "links ended", "asked again", "longest without an ack, s", "all back after, s")


def measure(databases: Databases) -> list[tuple[str, ...]]:
    """Return the headings and rows of the table."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    with databases.place("PostgreSQL", 2) as place:
        rows.append(asyncio.run(_elsewhere(*place.servers)))
    with databases.place("SQLite", arguments=("--processes", "2")) as place:
        (server,) = place.servers
        kill = partial(_kill, server)
        rows.append(asyncio.run(_while_they_post("kill -9 of a process of links, of two", server, kill)))
    for name, end in (("runtmtp --reload", Server.reload), ("SIGTERM, and a new start", _restart)):
        with databases.place("SQLite", DRAIN=DRAIN) as place:
            (server,) = place.servers
            rows.append(asyncio.run(_while_they_post(name, server, partial(end, server))))
    return rows


async def _elsewhere(one: Server, two: Server) -> tuple[str, ...]:
    """Kill a server with idle devices, which then log in to the other one."""
    devices = [await one.register() for _ in range(DEVICES)]
    one.kill()
    begun = time.perf_counter()
    seconds = max(await asyncio.gather(*[_log_in(two, device, begun) for device in devices]))
    return "kill -9 of one of two runtmtp", str(DEVICES), str(DEVICES), "", "", f"{seconds:.1f}"


async def _log_in(server: Server, device: Client, begun: float) -> float:
    while True:
        with contextlib.suppress(LoginRefused):
            await server.login(device.uid, device.nodeid)
            return time.perf_counter() - begun
        await asyncio.sleep(0.1)


async def _while_they_post(name: str, server: Server, end: Callable[[], Awaitable[object]]) -> tuple[str, ...]:
    """End a server while devices post now and then. They come back at once when their link ends."""
    crowd = Crowd(server, DEVICES, at_once=1, sizes=(400,), pause=0.2)
    await crowd.start()
    await crowd.more(2 * DEVICES)
    gap = asyncio.create_task(_longest_gap(crowd))
    begun = time.perf_counter()
    await end()
    await _all_served(crowd)
    back = time.perf_counter() - begun
    ended = [device for device in crowd.devices if device.links > 1]
    gap.cancel()
    longest = await gap
    again = sum(post.tries > 1 for post in crowd.ledger.posts.values())
    await crowd.finish()
    return name, str(DEVICES), str(len(ended)), str(again), f"{longest:.2f}", f"{back:.1f}"


async def _all_served(crowd: Crowd) -> None:
    """Wait until each device has another post acknowledged."""
    before = {id(post) for post in crowd.ledger.acked}

    def served() -> bool:
        return {post.sender for post in crowd.ledger.acked if id(post) not in before} >= {*crowd.devices}

    await until(served)


async def _longest_gap(crowd: Crowd) -> float:
    """Return the longest time in which no post was acknowledged, until the task is cancelled."""
    longest, count, since = 0.0, 0, time.perf_counter()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            if len(crowd.ledger.acked) != count:
                count, since = len(crowd.ledger.acked), time.perf_counter()
            longest = max(longest, time.perf_counter() - since)
            await asyncio.sleep(0.005)
    return longest


async def _kill(server: Server) -> None:
    """Kill the last process of links."""
    os.kill(server.children[-1], signal.SIGKILL)
    await asyncio.sleep(2)


async def _restart(server: Server) -> None:
    await server.stop()
    await server.restart()
