"""Delivery from one server to another, one post at a time."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from tmtp.tests.raw_client import Client
from tmtp.tests.servers import Server

from .place import Databases, redis

POSTS = 200
HEADINGS = ("two runtmtp on PostgreSQL", "p50 ms", "p99 ms")


def measure(databases: Databases) -> list[tuple[str, ...]]:
    """Return the headings and rows of the table."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    with redis() as running:
        for name, given in (("with Redis", running), ("without Redis", None)):
            if name == "with Redis" and not given:
                rows.append((f"{name}: left out, no redis-server", "", ""))
                continue
            with databases.place("PostgreSQL", 2, redis=given) as place:
                one, two = place.servers
                rows.append((f"same process, {name}", *asyncio.run(_deliveries(one, one))))
                rows.append((f"the other one, {name}", *asyncio.run(_deliveries(one, two))))
    return rows


async def _deliveries(here: Server, there: Server) -> tuple[str, str]:
    sender, receiver = await here.register(), await there.register()
    taken = sorted([await _delivery(sender, receiver, number) for number in range(POSTS)][20:])
    sender.close()
    receiver.close()
    return f"{1000 * median(taken):.1f}", f"{1000 * taken[int(len(taken) * 0.99)]:.1f}"


async def _delivery(sender: Client, receiver: Client, number: int) -> float:
    """Return the seconds from a post to its delivery."""
    begun = time.perf_counter()
    sender.post(str(number), [receiver.uid], b"x" * 400)
    header, _ = await receiver.expect(op="delivery")
    taken = time.perf_counter() - begun
    receiver.acknowledge(header["id"])
    await sender.expect(op="ack", id=str(number))
    return taken
