"""A device whose old link is dead or stopped can log in again within seconds; one that is alive stays connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from .processes import PATIENCE
from .raw_client import Client, LoginRefused
from .servers import Server, installation

SECONDS = 15.0  # a second or two, if the computer is not busy; nothing else ends a link so soon


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with installation() as site, site.serve() as first, site.serve() as second:
        yield first, second


@asynccontextmanager
async def alive(client: Client) -> AsyncIterator[list[str]]:
    """Read and acknowledge what the client gets, and yield the ops of it."""
    ops: list[str] = []

    async def read() -> None:
        while True:
            header, _ = await client.receive(timeout=60)
            ops.append(header["op"])
            if "from" in header:
                client.acknowledge(header["id"])

    task = asyncio.create_task(read())
    yield ops
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def again(server: Server, client: Client) -> tuple[Client | str, float]:
    """Log the same node in. Return the new link, or the reason of the refusal, and how long it took."""
    begun = time.monotonic()
    try:
        return await server.login(client.uid, client.nodeid), time.monotonic() - begun
    except LoginRefused as refused:
        return str(refused), time.monotonic() - begun


async def test_a_stopped_client_is_replaced_and_one_that_is_alive_is_not(servers: tuple[Server, Server]) -> None:
    here, elsewhere = servers
    stopped, living = [await here.register() for _ in servers], [await here.register() for _ in servers]
    sender = await elsewhere.register()
    for client in stopped:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with alive(living[0]) as first, alive(living[1]) as second:
        await asyncio.sleep(2.1)
        results = await asyncio.gather(
            *[
                again(server, client)
                for clients in (stopped, living)
                for server, client in zip(servers, clients, strict=True)
            ]
        )
        assert [reason for reason, _ in results[2:]] == ["node already connected"] * 2
        assert max(seconds for _, seconds in results) < SECONDS
        assert first == second == ["login"], "they are asked for a sign of life once"
        new = [client for client, _ in results[:2]]
        sender.post("hello", [client.uid for client in (*stopped, *living)], b"hello")
        await sender.expect(op="ack", id="hello")
        for client in new:
            assert isinstance(client, Client)
            header, _ = await client.expect(op="login")
            client.acknowledge(header["id"])
            assert (await client.expect(op="delivery"))[1] == b"hello"
        async with asyncio.timeout(PATIENCE):
            while [first, second] != [["login", "delivery"]] * 2:
                await asyncio.sleep(0.02)
    for old in stopped:
        old.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await old.ended()
    for client in (*living, sender, *(one for one in new if isinstance(one, Client))):
        client.close()


async def test_a_client_that_was_just_heard_is_alive(servers: tuple[Server, Server]) -> None:
    client = await servers[0].register()
    for server in servers:
        client.send(op=11)
        reason, seconds = await again(server, client)
        assert reason == "node already connected"
        assert seconds < SECONDS
    assert not client.pending
    client.close()
