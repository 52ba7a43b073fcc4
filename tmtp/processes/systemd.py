"""What systemd passes on to a service, and what a service tells systemd (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

FIRST = 3  # the descriptor of the first socket


def take_sockets() -> list[socket.socket]:
    """Return the listening TCP sockets that systemd has opened for this process, none without a socket unit."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = [socket.socket(fileno=FIRST + number) for number in range(int(count))]
    for sock in found:
        sock.set_inheritable(False)
    return [sock for sock in found if sock.type == socket.SOCK_STREAM and sock.family != socket.AF_UNIX]


def notify(*lines: str) -> None:
    """Tell systemd something, such as READY=1. Do nothing without it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
            sock.sendto("\n".join(lines).encode(), path.replace("@", "\0", 1) if path.startswith("@") else path)


def reloading() -> None:
    """Tell systemd that this process is being replaced by another."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
