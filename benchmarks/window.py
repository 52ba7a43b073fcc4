"""`python -m benchmarks.window`: measure the effect of TMTP["WINDOW"] on a link with high latency.

Each window is measured on its own server. A device fetches its waiting messages through a proxy that delays everything
by half of the round trip time.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tmtp.client.link import Address, Link
    from tmtp.testing import Server

WINDOWS = (1, 4, 16, 64)
SECONDS = 5  # how long each measurement takes, if the delay is all that counts
BODY = b"{}" + b"x" * 398


def main() -> None:
    """Measure each window and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.window", description=__doc__)
    parser.add_argument("--delay", type=float, default=100, help="round trip in milliseconds")
    delay = parser.parse_args().delay / 1000
    with tempfile.TemporaryDirectory(prefix="mnm-benchmarks-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "mnmsite.settings", "MNM_VAR": folder}
        import django

        django.setup()
        from tmtp.simulation.temporary_server import temporary_server

        print(f"WINDOW  messages/s over one link, {1000 * delay:.0f} ms there and back")
        for window in WINDOWS:
            with temporary_server(tmtp={"WINDOW": window}) as server:
                print(f"{window:6}  {asyncio.run(measure(server, delay, window)):10,.1f}")


async def measure(server: Server, delay: float, window: int) -> float:
    """Return how many waiting messages per second a device receives over the slow link."""
    count = math.ceil(SECONDS * window / delay)
    uid, nodeid = await store(server, count)
    begun = done = 0.0
    left = count
    finished = asyncio.get_running_loop().create_future()

    def receive(link: Link, head: Any, data: bytes) -> None:
        nonlocal begun, done, left
        if head.op == "delivery":
            begun = begun or time.perf_counter()
            done = time.perf_counter()
            left -= 1
            if not left:
                finished.set_result(None)

    async with delaying_proxy(server.address, delay / 2) as address:
        link = await open_link(server, address, receive)
        await link.log_in(uid, nodeid)
        await finished
        link.abort()
    return (count - 1) / (done - begun)


async def store(server: Server, count: int) -> tuple[str, str]:
    """Register a user and post `count` messages to it while it is offline. Return its uid and nodeid."""
    from tmtp.client.link import request

    link = await open_link(server, server.address)
    reader = await link.register("far away", "_")
    await link.log_out()
    link = await open_link(server, server.address)
    await link.register("near", "_")
    members = {"op": 7, "for": [{"id": reader.uid, "type": 1}], "datahead": 2}
    for number in range(count - 1):
        link.send(request({**members, "id": str(number)}, BODY))
    await link.ask({**members, "id": "last"}, BODY)
    link.abort()
    return reader.uid, reader.nodeid


async def open_link(server: Server, address: Address, receive: Any = lambda link, head, data: None) -> Link:
    """Open a link without logging in."""
    from tmtp.client.link import Link

    return await Link.open(address, server.tls, receive)


@asynccontextmanager
async def delaying_proxy(target: Address, seconds: float) -> AsyncIterator[Address]:
    """Run a proxy that delays octets by `seconds` in each direction. Yield its address."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*target)
        with suppress(asyncio.CancelledError):  # the measurement is over
            await asyncio.gather(
                copy_delayed(reader, there_writer, seconds), copy_delayed(there_reader, writer, seconds)
            )

    async with await asyncio.start_server(connect, target[0], 0) as proxy:
        yield target[0], proxy.sockets[0].getsockname()[1]


async def copy_delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Copy octets from `reader` to `writer` with a delay."""
    later = partial(asyncio.get_running_loop().call_later, seconds)
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            later(writer.write, data)
    later(writer.close)


if __name__ == "__main__":
    main()
