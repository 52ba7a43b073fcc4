"""Where the measurements run: databases, servers, Redis, and the processor time of all of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tmtp.tests.databases import postgresql_template
from tmtp.tests.faults.postgresql import Postgresql
from tmtp.tests.processes import children_of, free_port
from tmtp.tests.servers import Installation, Server, installation

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Place:
    """Running servers of one site, and the process of PostgreSQL, if it is the database."""

    site: Installation
    servers: list[Server]
    postgresql: int = 0
    redis: int = 0


@dataclass
class Redis:
    """A running Redis."""

    url: str
    pid: int


class Databases:
    """SQLite, and a PostgreSQL of its own that waits for the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgresql: Postgresql | None = None

    @contextlib.contextmanager
    def site(self, name: str, **tmtp: Any) -> Iterator[tuple[Installation, int]]:
        """Yield a site on a new database, and the process id of PostgreSQL or 0."""
        os.environ.pop("DATABASE_URL", None)
        if name == "PostgreSQL":
            self._postgresql = self._postgresql or Postgresql(self._folder)
            os.environ["DATABASE_URL"] = self._postgresql.url
            postgresql_template()
        with installation(**tmtp) as site:
            yield site, self._postgresql.pid if name == "PostgreSQL" and self._postgresql else 0

    @contextlib.contextmanager
    def place(
        self, name: str, servers: int = 1, arguments: Sequence[str] = (), redis: Redis | None = None, **tmtp: Any
    ) -> Iterator[Place]:
        """Yield so many running servers over a new database."""
        with self.site(name, **tmtp) as (site, postgresql), contextlib.ExitStack() as stack:
            env = {"REDIS_URL": redis.url if redis else ""}
            running = [stack.enter_context(site.serve(arguments=arguments, **env)) for _ in range(servers)]
            yield Place(site, running, postgresql, redis.pid if redis else 0)

    def stop(self) -> None:
        """Stop PostgreSQL."""
        if self._postgresql:
            self._postgresql.stop()


@contextlib.contextmanager
def redis() -> Iterator[Redis | None]:
    """Run Redis, and yield it; None if it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = free_port()
    command = [program, "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield Redis(f"redis://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def cpu_of(pid: int) -> float:
    """Return the processor time in seconds of a process, all its children, and those that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS + sum(map(cpu_of, children_of(pid)))


def parts_of(place: Place) -> dict[str, float]:
    """Return the processor time of each part. The store is the first process of a server of several."""
    others = {"PostgreSQL": place.postgresql, "Redis": place.redis}
    found = {"links": 0.0, "store": 0.0, **{name: cpu_of(pid) if pid else 0.0 for name, pid in others.items()}}
    for server in place.servers:
        children = server.children
        if children:
            found["store"] += cpu_of(children[0])
        found["links"] += cpu_of(server.pid) - (cpu_of(children[0]) if children else 0)
    return found
