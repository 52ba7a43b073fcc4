"""What many idle links cost: a look for changes, and the acks of a client that posts."""

from __future__ import annotations

import asyncio
import itertools
import resource
import time
from statistics import median

from tmtp.client.link import Link
from tmtp.tests.processes import Other
from tmtp.tests.servers import Server

from .place import Databases

AT_ONCE = 50
LINKS_PER_ADDRESS = 10_000  # a client's address has about 28,000 ports
POSTS = 400
HEADINGS = ("idle links", "look ms", "ack p50 ms", "MB of the server")
LOOK = """
import time
from statistics import median
from django.db import connection
from tmtp.engine.polling import Poller, Question
from tmtp.models import Node, ServerLease
lease = ServerLease.objects.latest("pk").pk
connected = set(Node.objects.filter(server=lease).values_list("pk", flat=True))
poller, taken = Poller(), []
nodes = list(connected)
for number in range(60):
    swept = [nodes[(number * 250 + at) % len(nodes)] for at in range(min(250, len(nodes)))]
    question = Question(swept=swept, caught_up=swept, marks=True, whoever_wrote=True)
    begun = time.perf_counter()
    poller.look(lease, connected, question)
    taken.append(time.perf_counter() - begun)
result = 1000 * median(taken)
"""


def measure(databases: Databases, counts: list[int]) -> list[tuple[str, ...]]:
    """Return headings, and a row for each number of idle links on each database. The links are without TLS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard if hard != resource.RLIM_INFINITY else 2**20
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))  # servers inherit it
    counts = [min(count, allowed - 500) for count in counts]
    rows: list[tuple[str, ...]] = [HEADINGS]
    for database in ("SQLite", "PostgreSQL"):
        with (
            databases.place(database, arguments=("--plain",), IDLE_TIMEOUT=3600) as place,
            place.site.other_process() as other,
        ):
            rows += asyncio.run(_measure(database, place.servers[0], other, counts))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return rows


async def _measure(database: str, server: Server, other: Other, counts: list[int]) -> list[tuple[str, ...]]:
    poster = await _register(server, 0)
    links: list[Link] = []
    rows = []
    for count in counts:
        numbers = itertools.count(len(links))
        await asyncio.gather(*[_add(server, links, numbers, count) for _ in range(AT_ONCE)])
        await asyncio.sleep(1)
        ack = await _acks(*poster)
        look = await asyncio.to_thread(other.run, LOOK)
        row = f"{database}, {len(links):,}", f"{look:.2f}", f"{1000 * ack:.2f}", f"{server.memory / 1e6:.0f}"
        rows.append(row)
    for link in links:
        link.abort()
    return rows


async def _add(server: Server, links: list[Link], numbers: itertools.count[int], count: int) -> None:
    while (number := next(numbers)) < count:
        links.append((await _register(server, number))[0])


async def _register(server: Server, number: int) -> tuple[Link, str]:
    """Open a link from one of several addresses, and register. Return the link and the uid."""
    source = f"127.0.0.{2 + number // LINKS_PER_ADDRESS}", 0
    loop = asyncio.get_running_loop()
    link: Link
    _, link = await loop.create_connection(
        lambda: Link(lambda *message: None), "127.0.0.1", server.port, local_addr=source
    )
    await link.greet()
    return link, (await link.register("idle", "_")).uid


async def _acks(link: Link, uid: str) -> float:
    """Return the median time of the acks of posts to oneself, one every ten milliseconds."""
    taken = []
    for number in range(POSTS):
        begun = time.perf_counter()
        members = {"op": 7, "id": f"{begun}-{number}", "for": [{"id": uid, "type": 1}]}
        await link.ask(members, b"x" * 400)
        taken.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    return median(taken)
