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

from .servers import Installation, Server, installation, until

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
    with installation(DRAIN=4) as site:
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
    site.override(DRAIN=4, MAX_BODY=1000)
    old = server.pid
    draining = asyncio.create_task(server.reload(lambda: ask(f"--bind=127.0.0.1:{server.port}")))
    await until(lambda: "has taken the place" in server.log)
    assert systemd.take() == ["RELOADING=1", f"MAINPID={server.pid}", "READY=1"] and server.pid != old

    cat = await server.register()  # at the new one
    for number in range(200):  # ann is never idle
        ann.post(f"a{number}", [cat.uid], b"from the old one")
        cat.post(f"c{number}", [ann.uid], b"from the new one")
        for one in (ann, cat):
            header, data = await one.expect(op="delivery")
            assert data == (b"from the new one" if one is ann else b"from the old one")
            one.acknowledge(header["id"])
            await one.expect(op="ack")
        if bob.reader.at_eof():
            break
    assert bob.reader.at_eof(), "bob was idle"
    assert not ann.reader.at_eof()
    assert await ann.ended() is None, "in the end, all are closed"
    assert await draining == 0

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


def test_nobody_is_there() -> None:
    with pytest.raises(CommandError, match="No server of this site at port 1 answers"):
        ask("--bind=127.0.0.1:1")


def ask(bind: str) -> str:
    out = io.StringIO()
    call_command("runtmtp", "--reload", bind, stdout=out, skip_checks=True)
    return out.getvalue()
