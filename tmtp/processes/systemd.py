"""What systemd passes on to a service, and what a service tells systemd (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

FIRST = 3  # the descriptor of the first socket
_NO_SOCKET = gettext_lazy(
    "systemd has passed on what is not a listening TCP socket (descriptor %(descriptor)s: %(what)s):"
    " let the socket unit have only ListenStream= with a TCP address, and no Accept=yes"
)


def take_sockets() -> list[socket.socket]:
    """Return the listening TCP sockets that systemd has opened for this process, none without a socket unit.

    Raise ImproperlyConfigured if one of them is something else.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_listening(FIRST + number) for number in range(int(count))]


def _listening(descriptor: int) -> socket.socket:
    """Return the listening TCP socket with this descriptor. Raise ImproperlyConfigured."""
    try:
        sock = socket.socket(fileno=descriptor)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except (OSError, OverflowError) as error:
        raise ImproperlyConfigured(_NO_SOCKET % {"descriptor": descriptor, "what": error}) from None
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6):
        with sock:
            raise ImproperlyConfigured(_NO_SOCKET % {"descriptor": descriptor, "what": sock})
    sock.set_inheritable(False)
    return sock


def notify(*lines: str) -> None:
    """Tell systemd something, such as READY=1. Do nothing without it."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
            sock.sendto("\n".join(lines).encode(), path.replace("@", "\0", 1) if path.startswith("@") else path)


def reloading() -> None:
    """Tell systemd that this process is being replaced by another."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
