"""The sockets that a server listens on."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

RECEIVE_BUFFER = 64 * 1024  # of the kernel; a TLS buffer stays as large as the most that it once received at once
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def bound_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket bound to the address, with keep-alive, which its connections inherit. Raise OSError.

    A shared one leaves room for others at the same address (SO_REUSEPORT), among which Linux spreads new connections.
    """
    (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        prepare(sock)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def prepare(sock: socket.socket) -> None:
    """Set what the connections of a socket inherit."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def bound_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """Return sockets bound to one address, for `count` processes. Raise OSError, also if another program has it.

    There is one for each process, or one for all where the system does not spread connections.
    """
    first = bound_socket(host, port)
    if count == 1 or sys.platform != "linux":
        return [first]
    host, port, *_ = first.getsockname()
    first.close()  # it only shows that nobody else has the address
    return [bound_socket(host, port, shared=True) for _ in range(count)]


def extended(sockets: Sequence[socket.socket], count: int) -> list[socket.socket]:
    """Return sockets that another process has opened, and further ones at their address, for `count` processes.

    There are no further ones if the sockets leave no room for them. Then processes share sockets.
    """
    found = list(sockets)
    for sock in found:
        prepare(sock)
    host, port, *_ = found[0].getsockname()
    with suppress(OSError):
        while len(found) < count:
            found.append(bound_socket(host, port, shared=True))
    return found


def is_bound_to(sock: socket.socket, host: str, port: int) -> bool:
    """Return whether a socket is bound to an address. Port 0 stands for any."""
    (*_, address), *_ = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound = sock.getsockname()
    return bound[0] == address[0] and port in (0, bound[1])


def share_of(sockets: Sequence[socket.socket], number: int, count: int) -> list[socket.socket]:
    """Return the sockets on which one of `count` processes listens."""
    return list(sockets[number::count]) or [sockets[number % len(sockets)]]
