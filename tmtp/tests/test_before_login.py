"""Before a login, a link costs little and lasts for seconds, whatever its client sends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tmtp.protocol import errors

from .processes import PATIENCE, in_time, until
from .raw_client import TLS, Client, frame
from .servers import Server, installation

pytestmark = pytest.mark.once
MOST = 40  # links of an address
CLOCK = 3  # LOGIN_TIMEOUT, in seconds
TICK = 1.5  # the server looks once a second
UID, WRONG = "1" * 32, "1" * 40


@pytest.fixture
def server() -> Iterator[Server]:
    limits = {"links_per_address": MOST, "registrations_per_address": MOST}
    with installation(LIMITS=limits, PROXIES=["127.0.0.3"]) as site, site.serve() as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    with installation(LOGIN_TIMEOUT=CLOCK) as site, site.serve() as server:
        yield server


async def raw(server: Server, host: str = "127.0.0.1") -> Client:
    """A TCP connection from an address of this computer, without a word of TLS."""
    return Client(*await asyncio.open_connection("127.0.0.1", server.port, local_addr=(host, 0)))


async def elsewhere(server: Server) -> Client:
    """Somebody at another address, who has registered."""
    client = Client(
        *await asyncio.open_connection("127.0.0.1", server.port, ssl=TLS, local_addr=("127.0.0.2", 0), limit=2**20)
    )
    client.send(op=0, id="1")
    await client.receive()
    await client.register()
    return client


@contextlib.asynccontextmanager
async def many(server: Server, count: int) -> AsyncIterator[list[Client]]:
    links = [await raw(server) for _ in range(count)]
    try:
        yield links
    finally:
        for link in links:
            link.close()


async def soon(come_in: Callable[[], Awaitable[Client]]) -> None:
    """Wait until somebody gets in: the server has seen that the links before have ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                (await come_in()).close()
                return
            except (OSError, EOFError):
                await asyncio.sleep(0.05)


async def is_open(link: Client) -> bool:
    try:
        async with asyncio.timeout(0.01):
            return bool(await link.reader.read(1))
    except TimeoutError:
        return True
    except OSError:
        return False


async def drip(link: Client, octets: bytes) -> None:
    """Send an octet now and then, until the server closes the link or no more are left."""
    with contextlib.suppress(OSError):
        for octet in octets:
            link.writer.write(bytes([octet]))
            await link.writer.drain()
            await asyncio.sleep(0.05)


async def test_one_clock_runs_from_the_connection_to_the_login(impatient: Server) -> None:
    """A handshake at the last moment and a header that drips do not get more time."""

    async def log_in_slowly() -> None:
        link = await raw(impatient)
        await asyncio.sleep(CLOCK - 1)
        with contextlib.suppress(OSError):  # it was too late on a busy computer
            await link.writer.start_tls(TLS)
            await drip(link, frame(op=0, id="1") + frame(op=1, newnode="n" * 500, newalias="_"))
        assert await link.ended() is None

    await in_time(CLOCK + TICK + 0.5, log_in_slowly)


async def test_a_handshake_that_never_ends_has_the_same_clock(impatient: Server) -> None:
    async def shake_hands_slowly() -> None:
        await drip(await raw(impatient), b"\x16\x03\x01\x02\x00" + bytes(500))

    await in_time(CLOCK + TICK, shake_hands_slowly)


async def test_links_are_counted_before_tls(server: Server) -> None:
    async with many(server, 5 * MOST) as links:
        async with asyncio.timeout(PATIENCE):
            while sum([await is_open(link) for link in links]) > MOST:
                await asyncio.sleep(0.05)
        assert sum([await is_open(link) for link in links]) == MOST
        (await elsewhere(server)).close()
        lines = [line for line in server.log.splitlines() if "too many links" in line]
        assert 1 <= len(lines) <= 5
        assert "from 127.0.0.1" in lines[0]
    await soon(server.register)


async def test_only_so_many_links_in_all() -> None:
    with installation(LIMITS={"links": 3}) as site, site.serve() as server:
        async with many(server, 3) as links:
            assert [await is_open(link) for link in links] == [True] * 3
            with pytest.raises(OSError):
                await elsewhere(server)
        await soon(partial(elsewhere, server))


async def test_links_that_end_in_any_way_count_no_more(server: Server) -> None:
    for _ in range(2):
        for _ in range(MOST):
            (await server.connect()).close()
        async with many(server, MOST // 2) as links:
            for link in links:
                link.writer.write(b"not TLS at all")
                await link.ended()
    await soon(server.register)


async def test_a_header_has_8_kib_at_most(server: Server) -> None:
    for length, reason in ((8192, errors.LOGIN_FAILED), (8193, errors.INVALID_HEADER_LENGTH)):
        link = await server.greet()
        link.writer.write(frame(op=2, uid="u" * (length - len(frame(op=2, uid="", node=WRONG)) + 4), node=WRONG))
        assert await link.ended() == reason
    link = await server.connect()
    link.writer.write(b"2001" + b"{" * 8193)
    assert await link.ended() is None  # no word before op 0


async def test_after_the_login_a_header_may_be_as_long_as_its_digits_allow(server: Server) -> None:
    client = await server.register()
    client.send(op=9, id="i" * 9000, from_="nobody at all", to="nobody at all")
    header, _ = await client.expect(op="ack", id="i" * 9000)
    assert "error" in header
    client.close()


async def test_failures_are_logged_with_the_address_and_a_flood_with_a_count(server: Server) -> None:
    for _ in range(20):
        link = await server.greet()
        link.send(op=2, uid=UID, node=WRONG)
        assert await link.ended() == errors.LOGIN_FAILED
    for _ in range(MOST):
        link = await server.greet()
        link.send(op=1, newnode="n", newalias="_")
        await link.receive()
        link.close()
    link = await server.greet()
    link.send(op=1, newnode="n", newalias="_")
    assert await link.ended() == errors.REGISTER_FAILURE
    link = await raw(server, "127.0.0.3")
    link.writer.write(b"PROXY TCP4 203.0.113.7 127.0.0.1 4000 7443\r\n")
    await link.writer.start_tls(TLS)
    link.send(op=0, id="1")
    link.send(op=2, uid=UID, node=WRONG)
    assert await link.ended() == errors.LOGIN_FAILED
    addresses = ["127.0.0.1"] * 5 + ["203.0.113.7"]
    assert re.findall("login failed.*", server.log) == [f"login failed from {address}" for address in addresses]
    assert re.findall("registration.*", server.log) == ["registration refused from 127.0.0.1"]


async def test_nobody_is_locked_out_by_others_who_guess() -> None:
    """Only the answers to wrong secrets come late, and those to unknown uids in the same way."""
    limits = {"failed_logins_per_address": 20, "failed_logins_per_user": 5}
    with installation(LIMITS=limits, LOGIN_TIMEOUT=2) as site, site.serve() as server:
        owner = await server.register()
        owner.close()
        nobody = "2" * 32
        assert [await guess(server, owner.uid) for _ in range(5)] == [False] * 5
        assert [await guess(server, nobody) for _ in range(5)] == [False] * 5
        late = [asyncio.create_task(guess(server, uid)) for uid in (owner.uid, nobody) for _ in range(8)]
        await asyncio.sleep(0.5)
        (await server.login(owner.uid, owner.nodeid)).close()
        assert not any(guess.done() for guess in late)
        assert await asyncio.gather(*late) == [True] * 16
        assert await guess(server, "3" * 32)  # the address has used up its allowance


async def guess(server: Server, uid: str) -> bool:
    """Try a wrong secret. Return whether the answer came late."""
    begun = time.monotonic()
    link = await server.greet()
    link.send(op=2, uid=uid, node=WRONG)
    assert await link.ended() == errors.LOGIN_FAILED
    return time.monotonic() - begun > 2.9


async def test_accepting_pauses_without_file_descriptors_and_resumes_by_itself() -> None:
    with installation() as site, site.serve() as server:
        ann = await server.register()
        used = len(os.listdir(f"/proc/{server.pid}/fd"))
        most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 20, most[1]))
        async with many(server, 60):
            await until(lambda: "cannot accept connections" in server.log)
            before = processor_time(server)
            await asyncio.sleep(2)
            assert processor_time(server) - before < 0.5
            assert server.log.count("cannot accept connections") == 1
            assert "Traceback" not in server.log
            ann.post("1", [ann.uid], bytes(100_000))
            assert "error" not in (await ann.expect(op="ack", id="1"))[0], "some are kept for the spool"
        await soon(server.register)
        ann.close()


def processor_time(server: Server) -> float:
    """The seconds that the server has computed."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
