"""The PROXY protocol, versions 1 and 2: a load balancer says whose connection it passes on.

The header comes before anything else on the connection, TLS too. It is only believed from `Proxies`: whoever may
send it can pretend to be at any address. The specification is HAProxy's doc/proxy-protocol.txt.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
SHORTEST = 15  # octets of the shortest header, "PROXY UNKNOWN\r\n"
FIXED = 16  # octets of version 2 before its addresses
LINE = b"PROXY "  # the beginning of version 1
LINE_MAX = 107  # octets of its line
ADDRESSES = {0x11: 12, 0x21: 36}  # octets of the addresses of TCP over IPv4 and IPv6 in version 2
FAMILIES = range(4)  # of version 2: unspecified, IPv4, IPv6, UNIX
KINDS = range(3)  # unspecified, stream, datagram
LOCAL, PROXY = 0x20, 0x21
MAPPED = 96  # bits before an IPv4 address in IPv6 notation
Client = tuple[str, int]  # address and port


class InvalidHeader(ValueError):
    """The connection does not begin with a header of the PROXY protocol."""


class Proxies:
    """The addresses of proxies that are believed: a list of networks, such as "10.0.0.0/8" or "192.0.2.1"."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raise ValueError if one of them is not a network."""
        self._networks = [_network(network) for network in networks]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            known = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        known = getattr(known, "ipv4_mapped", None) or known
        return any(known in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return a network as addresses are compared with it: without a zone, and IPv4 in IPv6 notation as IPv4."""
    address, slash, length = text.partition("/")
    network = ipaddress.ip_network(address.partition("%")[0] + slash + length)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped and network.prefixlen >= MAPPED:
        return ipaddress.IPv4Network((mapped, network.prefixlen - MAPPED))
    return network


async def read_header(sock: socket.socket) -> Client | None:
    """Read the header from a non-blocking socket, and not one octet of what follows it. Return its client.

    Return None if the header names none: the connection is the proxy's own. Raise InvalidHeader, or EOFError if the
    connection ends before its first octet, as that of a health check does.
    """
    loop = asyncio.get_running_loop()
    header = b""
    while octets := missing(header):
        received = await loop.sock_recv(sock, octets)
        if not received:
            raise InvalidHeader("the connection ended within it") if header else EOFError
        header += received
    return parse(header)


def missing(header: bytes) -> int:
    """Return how many octets the header has at least after these, 0 if it is complete. Raise InvalidHeader."""
    length = len(header)
    if length < SHORTEST and (SIGNATURE.startswith(header[:12]) or LINE.startswith(header[:6])):
        return SHORTEST - length
    if header.startswith(SIGNATURE):
        whole = FIXED + int.from_bytes(header[14:16], "big")
        return (whole if length >= FIXED else FIXED) - length
    if not header.startswith(LINE):
        raise InvalidHeader(f"it begins with {header[:12].hex(' ')}")
    if header.endswith(b"\r\n"):
        return 0
    if length >= LINE_MAX:
        raise InvalidHeader(f"its line is longer than {LINE_MAX} octets")
    return 1 if header.endswith(b"\r") or length == LINE_MAX - 1 else 2


def parse(header: bytes) -> Client | None:
    """Return the client that a complete header names, or None if it names none. Raise InvalidHeader."""
    return _parse_2(header) if header.startswith(SIGNATURE) else _parse_1(header)


def _parse_1(header: bytes) -> Client | None:
    """Parse "PROXY TCP4 source destination port port" or "PROXY UNKNOWN …"."""
    try:
        words = header[:-2].decode("latin-1").split(" ")  # whatever follows UNKNOWN is to be ignored
        if words[1] == "UNKNOWN":
            return None
        _, kind, source, destination, *ports = words
        version = {"TCP4": 4, "TCP6": 6}[kind]
        if "%" in source:  # a zone, which may be any characters, would get into the log
            raise ValueError(source)
        client, other = ipaddress.ip_address(source), ipaddress.ip_address(destination)
        if {client.version, other.version} != {version}:
            raise ValueError(kind)
        port, _ = (_port(text) for text in ports)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidHeader(f"its line is {header[:LINE_MAX]!r}") from error
    return _plain(client), port


def _port(text: str) -> int:
    if not text.isdecimal() or text != str(int(text)) or int(text) > 0xFFFF:
        raise ValueError(text)
    return int(text)


def _parse_2(header: bytes) -> Client | None:
    version, kind, rest = header[12], header[13], header[FIXED:]
    if version not in (LOCAL, PROXY) or kind >> 4 not in FAMILIES or kind & 0xF not in KINDS:
        raise InvalidHeader(f"its version, command and family are {header[12:14].hex(' ')}")
    if version == LOCAL or kind not in ADDRESSES:
        return None
    if len(rest) < ADDRESSES[kind]:
        raise InvalidHeader(f"it has {len(rest)} octets for its addresses")
    size = 4 if kind == 0x11 else 16
    return _plain(ipaddress.ip_address(rest[:size])), int.from_bytes(rest[2 * size : 2 * size + 2], "big")


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as text, an IPv4 address in IPv6 notation as IPv4."""
    return str(getattr(address, "ipv4_mapped", None) or address)
