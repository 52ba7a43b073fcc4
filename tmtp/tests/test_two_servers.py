"""Two servers over one database, which devices reach through a load balancer, answer as one would."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from tmtp.simulation.verification.player import Player
from tmtp.simulation.verification.script import Conversation, read_conversations
from tmtp.simulation.verification.verify import USUAL, verify
from tmtp.simulation.verification.website import Website
from tmtp.testing import Client

from .raw_client import TLS
from .raw_client import Client as Member
from .servers import Installation, Server, installation

Address = tuple[str, int]
PINGS = 40


class Balancer:
    """A TCP proxy that passes connections on to several addresses in turn."""

    def __init__(self, addresses: list[Address]) -> None:
        self._turns = itertools.cycle(addresses)
        self.passed = 0
        self.address: Address = ("127.0.0.1", 0)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        there, to_there = await asyncio.open_connection(*next(self._turns))
        await asyncio.gather(self._copy(reader, to_there), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
                await writer.drain()
        writer.close()

    async def _serve(self, ready: threading.Event, ended: asyncio.Event) -> None:
        async with await asyncio.start_server(self._pass_on, *self.address) as server:
            self.address = server.sockets[0].getsockname()
            ready.set()
            await ended.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it in a thread until the block ends."""
        loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(ready, ended),))
        thread.start()
        assert ready.wait(60)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join()


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    with installation(**USUAL, LIMITS={"pings_per_user": PINGS}) as site:
        yield site


@pytest.fixture(scope="module")
def pair(site: Installation) -> Iterator[tuple[Server, Server]]:
    with site.serve() as one, site.serve() as two:
        yield one, two
        assert "Traceback" not in one.log + two.log


def test_the_wire_conversations_agree(site: Installation, pair: tuple[Server, Server]) -> None:
    conversations = [conversation for conversation in read_conversations() if not conversation.server]
    balancer = Balancer([("127.0.0.1", server.port) for server in pair])
    with balancer.running(), contextlib.closing(Website(site.env)) as website:
        connect = partial(Client, balancer.address, TLS)

        def player(conversation: Conversation) -> Player:
            return Player(connect, conversation, website if conversation.needs_website else None)

        said: list[str] = []
        assert verify(player, said.append, conversations), "\n".join(said)
    assert balancer.passed > 2 * len(conversations)


async def ping(client: Member, alias: str) -> bool:
    """Return whether a ping to oneself is allowed."""
    client.send(b"hi", op=9, id="ping", from_=alias, to=alias)
    header, _ = await client.expect(op="ack", id="ping")
    return "error" not in header


async def test_a_limit_that_is_used_up_at_one_server_is_used_up_at_the_other(pair: tuple[Server, Server]) -> None:
    one, two = pair
    alias = "ann of the limits"
    ann = await one.register(alias)
    ann.send(op=3, id="new", newnode="phone")
    header, _ = await ann.expect(op="user", newnode="phone")
    phone = await two.login(ann.uid, header["nodeid"])
    assert [await ping(ann, alias) for _ in range(PINGS + 1)] == [True] * PINGS + [False]
    more = 0
    while await ping(phone, alias):
        more += 1
        await asyncio.sleep(0.2)
    assert more < PINGS / 2
