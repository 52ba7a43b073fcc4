"""What the supervisor and its processes tell each other, an octet at a time, over a socket for each process.

A process stops, too, when the supervisor's end of the socket is closed: nothing goes on serving without a supervisor.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

READY = b"r"  # to the supervisor: the process serves
ALIVE = b"a"  # to the supervisor: the answer to ASK
ASK = b"?"  # to a process: does its event loop still run?
STOP = b"s"  # to a process: end at once
DRAIN = b"d"  # to a process of links: accept no more, and end when there are no links any more
LINKS = b"l"  # to the store's process: a process of links is at the other end of the socket that is sent along


class Control:
    """A process's end of the socket. `told` is called with what the supervisor says, and with what is sent along."""

    def __init__(self, sock: socket.socket, told: Callable[[bytes, list[socket.socket]], None]) -> None:
        self._socket = sock
        self._told = told
        asyncio.get_running_loop().add_reader(sock, self._read)

    def ready(self) -> None:
        """Tell the supervisor that the process serves."""
        self._say(READY)

    def _say(self, octet: bytes) -> None:
        try:
            self._socket.send(octet)
        except OSError:
            self._end()

    def _read(self) -> None:
        try:
            octet, descriptors, _flags, _address = socket.recv_fds(self._socket, 1, 1)
        except OSError:
            octet, descriptors = b"", []
        if octet == ASK:
            self._say(ALIVE)
        elif octet:
            self._told(octet, [socket.socket(fileno=one) for one in descriptors])
        else:
            self._end()

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._told(STOP, [])
