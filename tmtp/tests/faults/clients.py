"""Clients that break off, dribble, or never log in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from tmtp.tests.ledger import Device, Ledger, Posted
from tmtp.tests.processes import ROOT, die_with_parent
from tmtp.tests.raw_client import TLS, frame
from tmtp.tests.servers import Server


class Records:
    """A link of which a test sees the TLS records, so that it can send a part of one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = TLS.wrap_bio(self._incoming, self._outgoing)

    @classmethod
    async def open(cls, server: Server) -> Records:
        """Connect, and finish the handshake."""
        link = cls(*await asyncio.open_connection("127.0.0.1", server.port))
        await link._until_done(link._tls.do_handshake)
        return link

    def send(self, octets: bytes, part: float = 1.0) -> None:
        """Send this part of the records of some octets."""
        self._tls.write(octets)
        records = self._outgoing.read()
        self._writer.write(records[: int(len(records) * part)])

    async def receive(self) -> dict[str, Any]:
        """Return the header of the next frame, which has no data."""
        length = int((await self._read(4)).decode(), 16)
        header: dict[str, Any] = json.loads(await self._read(length))
        return header

    def cut(self, reset: bool) -> None:
        """End the link, with a reset or with the end of the stream in the middle of a record."""
        if reset:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._writer.close()

    async def _read(self, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            octets += await self._until_done(partial(self._tls.read, size - len(octets)))
        return octets

    async def _until_done(self, function: Any) -> Any:
        while True:
            try:
                result = function()
            except ssl.SSLWantReadError:
                self._writer.write(self._outgoing.read())
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionResetError from None
                self._incoming.write(data)
            else:
                self._writer.write(self._outgoing.read())
                return result


async def cut_in_a_record(server: Server, ledger: Ledger, to: list[Device], by: random.Random) -> Posted:
    """Send a part of a post, or all of it, and cut the link. It reaches all or none."""
    link = await Records.open(server)
    link.send(frame(op=0, id="1") + frame(op=1, newnode="n", newalias="_"))
    while (await link.receive()).get("info") != "login ok":
        pass
    body = b"cut off " + by.randbytes(by.choice([50, 500, 20_000, 100_000]))
    post = ledger.posts[body] = Posted(body, to[0], to, tries=1)
    octets = frame(body, op=7, id="cut", for_=[{"id": device.uid, "type": 1} for device in to])
    link.send(octets, by.choice([1.0, by.random(), 0.999]))
    link.cut(by.random() < 0.5)
    return post


async def an_octet_a_second(server: Server, seconds: float) -> None:
    """Log in, and begin a post, octet by octet."""
    client = await server.register()
    octets = frame(b"x" * 1000, op=7, id="slow", for_=[])
    with contextlib.suppress(OSError):
        for octet in octets[: int(seconds)]:
            client.writer.write(bytes([octet]))
            await asyncio.sleep(1)
    client.close()


class Strangers:
    """Links that never log in: silent, with half a handshake, or with half the head of a record.

    Each that is closed comes again. They come from many addresses of the loopback network, as limits apply to each.
    """

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._hello = self._half_a_hello()
        self._tasks: list[asyncio.Task[None]] = []
        self.open = self.opened = 0

    async def stay(self) -> None:
        """Open all links, and keep so many open."""
        for number in range(self._count):
            self._tasks.append(asyncio.create_task(self._stay(number)))
            if number % 50 == 0:
                await asyncio.sleep(0.02)
        await asyncio.get_running_loop().create_future()

    async def _stay(self, number: int) -> None:
        address = f"127.0.{number // 250 % 250}.{number % 250 + 2}"
        while True:
            with contextlib.suppress(OSError):
                await self._once(address, (b"", self._hello, b"\x16\x03")[number % 3])
            await asyncio.sleep(0.2)

    async def _once(self, address: str, octets: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        self.open += 1
        self.opened += 1
        try:
            writer.write(octets)
            await reader.read()
        finally:
            self.open -= 1
            writer.transport.abort()

    @staticmethod
    def _half_a_hello() -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            TLS.wrap_bio(incoming, outgoing).do_handshake()
        hello = outgoing.read()
        return hello[: len(hello) // 2]


@contextlib.asynccontextmanager
async def strangers(port: int, count: int) -> AsyncIterator[Callable[[], Awaitable[tuple[int, int]]]]:
    """Let strangers come, in a process of their own. Return a function for how many are there, and have come."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tmtp.tests.faults.clients",
        str(port),
        str(count),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(),
    )

    async def ask() -> tuple[int, int]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        counts = (await process.stdout.readline()).split()
        return int(counts[0]), int(counts[1])

    try:
        yield ask
    finally:
        process.kill()
        await process.wait()


async def _main(port: int, count: int) -> None:
    crowd = Strangers(port, count)
    asyncio.get_running_loop().add_reader(
        sys.stdin, lambda: sys.stdin.readline() and print(crowd.open, crowd.opened, flush=True)
    )
    await crowd.stay()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
