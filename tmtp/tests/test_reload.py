"""A new server takes the place of one that runs, and no device is cut off in the middle of anything.

The server runs as under systemd, which has opened its socket and is told what happens.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from .processes import until
from .servers import Installation, Server, installation

pytestmark = pytest.mark.once


class Notifications:
    """The socket at which systemd is told what a service does."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.setblocking(False)

    def take(self) -> list[str]:
        """Return what was told since the last call, without the time."""
        lines: list[str] = []
        with suppress(BlockingIOError):
            while True:
                lines += self._socket.recv(1000).decode().split("\n")
        return [line for line in lines if not line.startswith("MONOTONIC_USEC=")]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def site() -> Iterator[Installation]:
    with installation(DRAIN=60) as site:
        yield site


@pytest.fixture
def systemd(site: Installation) -> Iterator[Notifications]:
    notifications = Notifications(str(site.folder / "notify"))
    yield notifications
    notifications.close()


@pytest.fixture
def server(site: Installation, systemd: Notifications) -> Iterator[Server]:
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        number = listening.fileno()
        wrapper = ["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{number}', "bash"]
        elsewhere = {"NOTIFY_SOCKET": str(site.folder / "notify")}
        server = Server(site, 1, wrapper=wrapper, pass_fds=[number], **elsewhere)  # port 1 is systemd's business
        server.start()
        server.port = listening.getsockname()[1]
        stack.callback(server.kill)
        yield server


async def test_a_new_server_takes_over(
    settings: Any, site: Installation, server: Server, systemd: Notifications
) -> None:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(site.folder / "spool")}
    assert systemd.take() == ["READY=1"]
    ann, bob = await server.register(), await server.register()
    bob.post("0", [ann.uid], b"in flight until it is acknowledged")
    in_flight, _ = await ann.expect(op="delivery")
    site.override(DRAIN=60, MAX_BODY=1000)
    old = server.pid
    draining = asyncio.create_task(server.reload(lambda: ask(f"--bind=127.0.0.1:{server.port}")))
    await until(lambda: "has taken the place" in server.log)
    reloading, main_process, ready = systemd.take()
    assert (reloading, ready) == ("RELOADING=1", "READY=1") and main_process != f"MAINPID={old}"

    cat = await server.register()  # at the new one
    cat.post("1", [ann.uid], b"from the new one to the old one")
    header, _ = await ann.expect(op="delivery")
    ann.acknowledge(header["id"])
    assert await bob.ended() is None, "nothing is in flight"
    ann.post("2", [cat.uid], b"from the old one to the new one")
    await ann.expect(op="ack", id="2")
    await cat.expect(op="delivery")
    ann.acknowledge(in_flight["id"])
    assert await ann.ended() is None
    assert await draining == 0 and f"MAINPID={server.pid}" == main_process

    ann = await server.login(ann.uid, ann.nodeid)
    ann.post("large", [cat.uid], bytes(1001))
    assert await ann.ended() == "data too long for request type", "the new one has new settings"

    # and one that does not start changes nothing
    systemd.take()
    site.override(WINDOW="many")
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: "the new server does not start (exit status 1); this one goes on" in server.log)
    assert systemd.take() == ["RELOADING=1", "READY=1"]
    ann = await server.login(ann.uid, ann.nodeid)
    ann.post("1", [cat.uid], b"hello")
    await cat.expect(op="delivery")
    await server.stop()  # nobody reads its output any more: the old one's end has closed the pipe
    assert "Traceback" not in server.log


def test_nobody_is_there() -> None:
    with pytest.raises(CommandError, match="No server of this site at port 1 answers"):
        ask("--bind=127.0.0.1:1")


def ask(bind: str) -> str:
    out = io.StringIO()
    call_command("runtmtp", "--reload", bind, stdout=out, skip_checks=True)
    return out.getvalue()
