"""What a new server gets from the one that it replaces, or from systemd: listening sockets."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import Any

from ..server.sockets import is_bound_to
from . import systemd

VARIABLE = "RUNTMTP_PREDECESSOR"  # what `succession` passes on, as JSON
READY = b"r"


class Predecessor:
    """The server that this one replaces, if there is one: its sockets, and what waits for this one to be ready.

    `activated` says whether systemd has opened the sockets. Then they are used wherever they are.
    """

    def __init__(self) -> None:
        given: dict[str, Any] = json.loads(os.environ.pop(VARIABLE, "{}"))
        self._sockets = [_adopted(one) for one in given.get("sockets", [])] or systemd.take_sockets()
        self._side = [_adopted(one) for one in given.get("side", [])]
        self._ready: int | None = given.get("ready")
        self.activated: bool = given.get("activated", bool(self._sockets))

    def sockets_at(self, host: str, port: int) -> list[socket.socket]:
        """Return its sockets at an address. Raise OSError for a host that does not exist."""
        return self._sockets if self.activated else _at(self._sockets, host, port)

    def side_at(self, host: str, port: int) -> list[socket.socket]:
        """Return its socket of the side port at an address, if it has one. Raise OSError as above."""
        return _at(self._side, host, port)

    def tell_ready(self) -> None:
        """Tell it that this server serves. Without one, tell systemd."""
        if self._ready is None:
            systemd.notify("READY=1")
            return
        with suppress(OSError):
            os.write(self._ready, READY)
        self.leave()

    def leave(self) -> None:
        """Tell it nothing more, in a process that was forked."""
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None


def _adopted(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.set_inheritable(False)
    return sock


def _at(sockets: list[socket.socket], host: str, port: int) -> list[socket.socket]:
    """Return the sockets that are bound to an address. Close the others, which nobody listens to here."""
    found = [one for one in sockets if is_bound_to(one, host, port)]
    for one in sockets:
        if one not in found:
            one.close()
    return found
