"""The PROXY protocol: who is behind a load balancer."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tmtp.server.listener import Listener
from tmtp.server.proxy import SIGNATURE, InvalidHeader, Proxies, missing, parse
from tmtp.server.sockets import bound_socket

pytestmark = pytest.mark.once
LONGEST = 16 + 65535  # octets of a header

ports = st.integers(0, 65535)
v4, v6 = st.ip_addresses(v=4), st.ip_addresses(v=6)


def version_1(source: Any, destination: Any, port: int, other: int) -> bytes:
    return f"PROXY TCP{source.version} {source} {destination} {port} {other}\r\n".encode()


def version_2(source: Any, destination: Any, port: int, other: int, more: bytes = b"") -> bytes:
    kind = 0x11 if source.version == 4 else 0x21
    rest = source.packed + destination.packed + struct.pack("!HH", port, other) + more
    return SIGNATURE + struct.pack("!BBH", 0x21, kind, len(rest)) + rest


def plain(address: Any) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


sides = st.one_of(st.tuples(v4, v4, ports, ports), st.tuples(v6, v6, ports, ports))
known = st.one_of(
    sides.map(lambda some: (version_1(*some), (plain(some[0]), some[2]))),
    st.tuples(sides, st.binary(max_size=40)).map(
        lambda one: (version_2(*one[0], one[1]), (plain(one[0][0]), one[0][2]))
    ),
)
lines = st.binary(max_size=90).filter(lambda text: b"\r" not in text)
unknown = st.one_of(
    lines.map(lambda text: b"PROXY UNKNOWN" + (b" " + text if text else b"") + b"\r\n"),
    st.tuples(st.just(0x20), st.sampled_from([0, 0x11, 0x21, 0x31]), st.binary(max_size=300)).map(
        lambda it: SIGNATURE + struct.pack("!BBH", it[0], it[1], len(it[2])) + it[2]
    ),
    st.tuples(st.just(0x21), st.sampled_from([0, 0x12, 0x22, 0x31, 0x32]), st.binary(max_size=300)).map(
        lambda it: SIGNATURE + struct.pack("!BBH", it[0], it[1], len(it[2])) + it[2]
    ),
)  # fmt: skip
headers = st.one_of(known, unknown.map(lambda header: (header, None)))


def read(octets: bytes, sizes: list[int]) -> tuple[bytes, Any]:
    """Read a header as `read_header` does, in pieces of at most these sizes. Return it, and its client."""
    header = b""
    for size in [*sizes, *[LONGEST] * (len(octets) + 1)]:
        needed = missing(header)
        if not needed:
            return header, parse(header)
        piece = octets[len(header) : len(header) + min(needed, size)]
        if not piece:
            raise EOFError
        header += piece
    raise AssertionError("it asks for ever more")


@given(headers, st.binary(max_size=30), st.lists(st.integers(1, 20), max_size=60))
def test_a_header_is_read_to_its_last_octet_and_not_beyond(header: Any, rest: bytes, sizes: list[int]) -> None:
    octets, client = header
    assert read(octets + rest, sizes) == (octets, client)


@given(headers, st.integers(0, 400))
def test_a_header_that_is_cut_is_never_complete(header: Any, length: int) -> None:
    octets = header[0][: min(length, len(header[0]) - 1)]
    with pytest.raises(EOFError):
        read(octets, [])


@given(headers, st.integers(0, 60), st.binary(max_size=3))
@example((b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \xb2\r\n", None), 0, b"P")
@example((b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", None), 0, b"P")
def test_what_is_no_header_is_refused_within_its_length(header: Any, at: int, noise: bytes) -> None:
    octets = header[0][:at] + noise + header[0][at + 1 :]
    try:
        whole, client = read(octets + b"x" * 120, [])
    except (InvalidHeader, EOFError):
        return
    assert len(whole) <= (LONGEST if whole.startswith(SIGNATURE) else 107)
    assert client is None or (ipaddress.ip_address(client[0]) and 0 <= client[1] <= 65535)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(30),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 fe80::1%\n\x1b[31m fe80::2 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n" + bytes(100),
        b"PROXY UNKNOWN " + b"x" * 120 + b"\r\n",
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),  # another version
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),  # an unknown command
        SIGNATURE + b"\x21\x41\x00\x0c" + bytes(12),  # an unknown family
        SIGNATURE + b"\x21\x13\x00\x0c" + bytes(12),  # an unknown kind
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),  # too short for its addresses
    ],
    ids=repr,
)
def test_invalid_headers(octets: bytes) -> None:
    with pytest.raises(InvalidHeader):
        read(octets, [])


def test_only_the_networks_that_are_listed_are_believed() -> None:
    proxies = Proxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:172.16.0.0/108", "fe80::2%eth0"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "2001:db8::5", "172.31.0.1", "fe80::2%eth1"):
        assert address in proxies
    for address in ("11.0.0.1", "192.0.2.2", "2001:db9::", "::1", "fe80::1%eth0", "172.32.0.1", "?"):
        assert address not in proxies
    assert "10.0.0.1" not in Proxies([])


# -- with a listener


class Counts:
    """Limits of one link per address, which notes whom it was asked about."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, address: str) -> bool:
        self.opened.append(address)
        return self.opened.count(address) == 1

    def close(self, address: str) -> None:
        pass


async def tell_client(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the address of the client, and with what it sends first."""
    await receive()
    said = (await receive()).get("data", b"")
    await send({"type": "tcp.send", "data": b"%s %s" % (str(scope["client"]).encode(), said)})


@contextlib.asynccontextmanager
async def listening(proxies: list[str], timeout: float = 5) -> AsyncIterator[tuple[int, Counts]]:
    sock, counts = bound_socket("127.0.0.1", 0), Counts()
    port = sock.getsockname()[1]
    listener = Listener(tell_client, [sock], None, counts, Proxies(proxies))
    await listener.start(5, timeout)
    try:
        yield port, counts
    finally:
        listener.stop_accepting()
        await listener.stop()


async def say(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.001)
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


HEADER = version_2(ipaddress.ip_address("203.0.113.7"), ipaddress.ip_address("10.0.0.1"), 4000, 7443, b"\x04\0\0")


async def test_the_application_and_the_limits_get_the_clients_address() -> None:
    async with listening(["127.0.0.0/8"]) as (port, counts):
        assert await say(port, HEADER + b"hello") == b"['203.0.113.7', 4000] hello"
        assert await say(port, HEADER + b"hello") == b""  # there is one link from there already
        line = b"PROXY TCP6 2001:db8::1 2001:db8::2 4001 7443\r\n"
        assert await say(port, *[bytes([octet]) for octet in line], b"hello") == b"['2001:db8::1', 4001] hello"
        assert (await say(port, b"PROXY UNKNOWN\r\n", b"check")).startswith(b"['127.0.0.1', ")
        assert counts.opened == ["203.0.113.7", "203.0.113.7", "2001:db8::1", "127.0.0.1"]


async def test_a_stranger_is_not_believed() -> None:
    async with listening(["10.0.0.0/8"]) as (port, counts):
        assert (await say(port, HEADER)).startswith(b"['127.0.0.1', ")
        assert counts.opened == ["127.0.0.1"]


async def test_without_a_valid_header_a_proxys_connection_is_closed_with_a_line(caplog: Any) -> None:
    async with listening(["127.0.0.0/8"], timeout=0.5) as (port, counts):
        assert await say(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(30)) == b""
        assert await say(port, b"PROXY TCP4 1.2.") == b""  # and no more
        with socket.create_connection(("127.0.0.1", port)):
            pass  # a health check
        assert not counts.opened
        await asyncio.sleep(0.02)
    what = "a connection has no valid header of the PROXY protocol: from 127.0.0.1"
    assert [record.getMessage() for record in caplog.records if record.name == "tmtp.server"] == [
        f"{what} (it begins with 16 03 01 02 00 01 00 01 fc 03 03 00)",
        f"{what} (it did not arrive in time)",
    ]
