"""Two hosts: namespaces for network and processes, with a cable between them that can be cut. Needs root, and Linux.

    with two_hosts() as (one, two), one.serve(site, ahead=40) as server:
        client = await server.register()
        two.cut()

The hosts have the same name, and numbers of processes that begin at 1. They end with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from .databases import shared_folder
from .processes import ROOT, children_of, die_with_parent
from .raw_client import TLS, Client
from .servers import Installation, Server

CLONE_NEWNET = 0x40000000
NETWORK = "192.0.2"  # reserved for documentation (RFC 5737)
PORT = 7443


class NoHosts(Exception):
    """There cannot be two hosts here. The text says why."""


def check_programs() -> None:
    """Raise NoHosts if a program is missing."""
    for program in ("ip", "unshare", "nsenter", "cc"):
        if shutil.which(program) is None:
            raise NoHosts(f"the program {program} is needed")


def check_rights() -> None:
    """Raise NoHosts if this process may not make namespaces, as outside of root, and in many containers."""
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True
    )
    if done.returncode:
        raise NoHosts(f"namespaces need root, and more: {done.stderr.strip()}")


@cache
def shim() -> Path:
    """Compile clock.c, and return the library."""
    library = shared_folder() / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, Path(__file__).with_name("clock.c")], check=True)
    return library


class Host:
    """A host with one network interface. `number` is the end of its address."""

    def __init__(self, number: int) -> None:
        self.address = f"{NETWORK}.{number}"
        said = "echo begun; exec sleep infinity"
        self._process = subprocess.Popen(
            ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", said],
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"begun\n"
        (self.pid,) = children_of(self._process.pid)
        self.command = ["nsenter", f"--target={self.pid}", "--net", "--pid", "--mount", f"--wd={ROOT}"]

    def ip(self, *words: str) -> None:
        """Run the program ip on this host."""
        subprocess.run(["nsenter", f"--target={self.pid}", "--net", "ip", *words], check=True)

    def cut(self) -> None:
        """Cut the cable."""
        self.ip("link", "set", "cable", "down")

    def mend(self) -> None:
        """Mend the cable."""
        self.ip("link", "set", "cable", "up")

    def run(self, make: Callable[[], socket.socket]) -> socket.socket:
        """Return a socket of this host. `make` is called in a thread that is on it."""

        def work() -> socket.socket:
            with Path(f"/proc/{self.pid}/ns/net").open() as namespace:
                assert ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET) == 0
            return make()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    def listen(self, port: int) -> socket.socket:
        """Return a socket that listens at this host's address."""
        return self.run(lambda: socket.create_server((self.address, port)))

    @contextlib.contextmanager
    def serve(self, site: Installation, ahead: int, **env: str) -> Iterator[HostServer]:
        """Run a server on this host, whose clock is `ahead` by so many seconds. The test awaits its `wait()`."""
        env = {"LD_PRELOAD": str(shim()), "CLOCK_AHEAD": str(ahead), **env}
        server = HostServer(self, site, **env)
        server.start(wait=False)
        try:
            yield server
        finally:
            server.kill()

    def end(self) -> None:
        """End all its processes."""
        self._process.kill()
        assert self._process.stdout
        with self._process.stdout:
            self._process.wait()


class HostServer(Server):
    """A server on a host. Its clients are there, too."""

    def __init__(self, host: Host, site: Installation, **env: Any) -> None:
        super().__init__(site, PORT, wrapper=host.command, **env)
        self.log_path = site.folder / f"server-{host.address}.log"
        self._host = host

    async def connect(self) -> Client:
        there = await asyncio.to_thread(self._host.run, lambda: socket.create_connection(("127.0.0.1", PORT)))
        reader, writer = await asyncio.open_connection(sock=there, ssl=TLS, server_hostname="localhost", limit=2**20)
        return Client(reader, writer)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make two hosts with a cable between them."""
    with contextlib.ExitStack() as stack:
        hosts = Host(1), Host(2)
        for host in hosts:
            stack.callback(host.end)
            host.ip("link", "set", "lo", "up")
        one, two = hosts
        one.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(two.pid))
        for host in hosts:
            host.ip("address", "add", f"{host.address}/24", "dev", "cable")
            host.mend()
        yield hosts
