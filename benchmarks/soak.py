"""`make soak`: whether the server gives everything back after clients have come, done all kinds of things, and gone.

Rounds of load and of quiet take turns. In a round, devices of the same users log in and out, post bodies of all sizes,
are refused, break the protocol, stop reading, and cut their links anywhere, in the middle of TLS and of bodies too.
Then all of them fetch what waits for them and leave, and what the server holds is counted: after the first round, and
after each one that follows. It must be the same again: memory, descriptors, sockets, threads, tasks, links, files in
the spool. With several processes, all of them are counted together.

The server is `runtmtp` with TLS and limits. On SIGUSR2, each of its processes counts its threads, tasks and objects.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tmtp.client.link import Link
    from tmtp.testing import Server

USERS = 40
AT_ONCE = 30  # clients
ROUNDS = 5
SETTLE = 30.0  # seconds in which everything must be given back
SIZES = (1, 400, 5_000, 65_536, 65_537, 300_000, 2_000_000)  # octets of bodies, small ones more often
WEIGHTS = (8, 20, 8, 3, 3, 2, 1)
MEMORY = 12.0  # MB by which memory may differ: the allocator keeps some of what is free
# Pools make a thread when all others are busy, and then keep it: the spool's two, and that of the event loop.
POOLS = ("tmtp-spool_", "tmtp-spool-remover_", "uvloop_", "asyncio_")
# By how much the counts may be higher. `threads` are those that are in no pool.
SPARE = {"descriptors": 3, "sockets": 1, "threads": 0, "in pools": 24, "tasks": 2}
SPARE |= {"links": 0, "spool files": 0, "waiting": 0}
# Objects of these classes are counted; there may be so many more than after the first round.
CLASSES = ("tmtp.engine.dispatcher.Lane", "tmtp.services.queue.batch.Parcel")
MANAGE = """
import asyncio, collections, gc, json, os, signal, sys, threading
from django.core.management import execute_from_command_line

def count(*_):
    gc.collect()
    kinds = collections.Counter()
    for each in gc.get_objects():
        kinds[f"{type(each).__module__}.{type(each).__qualname__}"] += 1
    tasks = [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]
    place = os.environ["SOAK_COUNTS"] + str(os.getpid())
    with open(place + ".new", "w") as file:
        threads = [each.name for each in threading.enumerate()]
        json.dump({"tasks": len(tasks), "objects": kinds, "threads": threads}, file)
    os.replace(place + ".new", place)

signal.signal(signal.SIGUSR2, count)
execute_from_command_line(sys.argv)
"""


def main() -> None:
    """Run the rounds, print a line for each, and exit with 1 if something was not given back."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--processes", type=int, default=1, help="of links")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="mnm-soak-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "mnmsite.settings",
            "MNM_VAR": str(folder / "var"),
            "DATABASE_URL": "",
        }
        if options.database == "postgresql":
            os.environ["DATABASE_URL"] = stack.enter_context(postgresql(folder))
        import django

        django.setup()
        from django.conf import settings

        from tmtp.testing import running_server

        (folder / "manage.py").write_text(MANAGE)
        limits = dict.fromkeys(("registrations_per_address", "failed_logins_per_address", "failed_logins_per_user"))
        tmtp = {"LIMITS": limits, "SPOOL_DIR": str(folder / "spool"), "LOGIN_TIMEOUT": 2, "WRITE_TIMEOUT": 5}
        environment = {"SOAK_COUNTS": str(folder / "counts"), "PYTHONPATH": str(settings.BASE_DIR)}
        more: dict[str, Any] = {"processes": options.processes, "migrate": True}
        with running_server(manage=folder / "manage.py", env=environment, tmtp=tmtp, **more) as server:
            soak = Soak(server, folder, random.Random(options.seed))
            wrong = asyncio.run(soak.run(options.minutes * 60))
    sys.exit(1 if wrong else 0)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL in a folder. Yield the URL of its database."""
    from tmtp.tests.faults.postgresql import Postgresql

    server = Postgresql(folder)
    try:
        yield server.url
    finally:
        server.stop()


@dataclass
class Held:
    """What the server holds."""

    memory: float  # MB
    counts: dict[str, int]
    objects: dict[str, int]

    def more_than(self, first: Held) -> list[str]:
        """Return what is held that was not held at first."""
        more = [f"{name}: {count}, was {first.counts[name]}" for name, count in self.counts.items()
                if count > first.counts[name] + SPARE[name]]  # fmt: skip
        if self.memory > first.memory + MEMORY:
            more.append(f"memory: {self.memory:.1f} MB, was {first.memory:.1f}")
        for name in CLASSES:
            if self.objects.get(name, 0) > first.objects.get(name, 0):
                more.append(f"{name}: {self.objects[name]}, was {first.objects.get(name, 0)}")
        return more

    def grown(self, first: Held) -> str:
        """Return the classes whose objects have become most more."""
        by = {name: count - first.objects.get(name, 0) for name, count in self.objects.items()}
        most = sorted(by, key=lambda name: -by[name])[:8]
        return ", ".join(f"{name} +{by[name]}" for name in most if by[name] > 0)


@dataclass
class User:
    """A user with one device, which one client at a time uses."""

    uid: str
    nodeid: str
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


class Soak:
    """The clients of one server, and what it holds when they are gone."""

    def __init__(self, server: Server, folder: Path, chance: random.Random) -> None:
        self.server, self.folder, self.chance = server, folder, chance
        self.users: list[User] = []
        self.done: dict[str, int] = {}
        self.unexpected: list[str] = []
        self._id = 0

    async def run(self, seconds: float) -> bool:
        """Run all rounds. Return whether something is wrong."""
        for _ in range(USERS):
            link = await self.open()
            head = await link.register("a device", "_")
            self.users.append(User(head.uid, head.nodeid))
            link.abort()
        print(f"{'minute':>7} {'clients':>8} {'memory MB':>10}  " + "  ".join(SPARE), flush=True)
        begun, first, wrong = time.monotonic(), None, False
        for _ in range(ROUNDS):
            await self.load(seconds / ROUNDS)
            await self.fetch_all()
            held, more = await self.settled(first)
            counts = "  ".join(f"{held.counts[name]:>{len(name)}}" for name in SPARE)
            minute, clients = (time.monotonic() - begun) / 60, sum(self.done.values())
            print(f"{minute:7.1f} {clients:8} {held.memory:10.1f}  {counts}", flush=True)
            wrong = bool(more) or wrong
            for line in more:
                print(f"    NOT GIVEN BACK: {line}")
            if more and first:
                print(f"    more objects: {held.grown(first)}")
            first = first or held
        print(", ".join(f"{name} {count}" for name, count in sorted(self.done.items())))
        said = self.server.said()
        wrong = wrong or "Traceback" in said or bool(self.unexpected)
        for line in [*self.unexpected[:10], *(said.splitlines()[-30:] if "Traceback" in said else [])]:
            print(f"    {line}")
        return wrong

    async def load(self, seconds: float) -> None:
        """Let clients come and go."""
        end = time.monotonic() + seconds
        await asyncio.gather(*[self.keep_coming(end) for _ in range(AT_ONCE)])

    async def keep_coming(self, end: float) -> None:
        """Be one client after another."""
        kinds = [self.post, self.post, self.post, self.leave_in_body, self.stop_reading, self.be_refused]
        kinds += [self.break_protocol, self.guess, self.cut_tls, self.say_nothing]
        while time.monotonic() < end:
            kind = self.chance.choice(kinds)
            try:
                async with asyncio.timeout(30):
                    await kind()
            except Exception as error:
                from tmtp.client.link import LinkEnded

                if not isinstance(error, LinkEnded | OSError):
                    self.unexpected.append(f"{kind.__name__}: {error!r}")
            self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1
            await asyncio.sleep(self.chance.random() * 0.2)

    # what clients do

    async def open(self) -> Link:
        from tmtp.client.link import Link

        return await Link.open(self.server.address, self.server.tls, lambda link, head, data: None)

    def id(self) -> str:
        self._id += 1
        return str(self._id)

    async def as_user(self, work: Callable[[Link], Awaitable[None]]) -> None:
        """Log a user in, do the work, and leave in one way or another."""
        user = self.chance.choice(self.users)
        async with user.busy:
            link = await self.open()
            try:
                await link.log_in(user.uid, user.nodeid)
                await work(link)
                if self.chance.random() < 0.5:
                    await link.log_out()
            finally:
                link.abort()

    def body(self) -> bytes:
        return bytes(self.chance.choices(SIZES, WEIGHTS)[0])

    def recipients(self) -> list[dict[str, Any]]:
        return [{"id": user.uid, "type": 1} for user in self.chance.sample(self.users, self.chance.randint(0, 3))]

    async def post(self) -> None:
        async def work(link: Link) -> None:
            for _ in range(self.chance.randint(1, 5)):
                await link.ask({"op": 7, "id": self.id(), "for": self.recipients()}, self.body())

        await self.as_user(work)

    async def leave_in_body(self) -> None:
        async def work(link: Link) -> None:
            from tmtp.client.link import request

            octets = request({"op": 7, "id": self.id(), "for": self.recipients()}, self.body())
            link.send(octets[: self.chance.randint(1, len(octets))])
            await asyncio.sleep(0.05)
            link.abort()

        await self.as_user(work)

    async def stop_reading(self) -> None:
        async def work(link: Link) -> None:
            from tmtp.client.link import request

            assert link._transport
            link._transport.pause_reading()
            for _ in range(20):
                link.send(request({"op": 7, "id": self.id(), "for": self.recipients()}, bytes(20_000)))
            await asyncio.sleep(1)
            link.abort()

        await self.as_user(work)

    async def be_refused(self) -> None:
        async def work(link: Link) -> None:
            for _ in range(3):
                nobody = [{"id": "%" * 32, "type": 1}]
                assert (await link.ask({"op": 7, "id": self.id(), "for": nobody}, self.body())).error
                assert (await link.ask({"op": 6, "id": self.id(), "gid": "no such group", "act": "join"})).error

        await self.as_user(work)

    async def break_protocol(self) -> None:
        async def work(link: Link) -> None:
            link.send(self.chance.choice([b"zzzz", b'0008{"op":9', b'000a{"op": 99}', b"ffff{", b'0009{"op": 1}']))
            await asyncio.sleep(self.chance.random() * 0.1)

        await self.as_user(work)

    async def guess(self) -> None:
        link = await self.open()
        try:
            await link.log_in(self.chance.choice(self.users).uid, "1" * 40)
        finally:
            link.abort()

    async def cut_tls(self) -> None:
        """Begin TLS, and leave somewhere in it."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="here").do_handshake()
        hello = outgoing.read()
        _, writer = await asyncio.open_connection(*self.server.address)
        writer.write(hello[: self.chance.randint(0, len(hello))] + self.chance.choice([b"", b"\0" * 99]))
        await asyncio.sleep(self.chance.random() * 0.1)
        writer.transport.abort()

    async def say_nothing(self) -> None:
        link = await self.open()
        await asyncio.sleep(self.chance.random())
        link.abort()

    # what is left

    async def fetch_all(self) -> None:
        """Let each device fetch and acknowledge all that waits for it, and leave."""
        links = []
        for user in self.users:
            links.append(await self.open())
            await links[-1].log_in(user.uid, user.nodeid)
        last = time.monotonic() + SETTLE
        while await asyncio.to_thread(waiting) and time.monotonic() < last:
            await asyncio.sleep(0.2)
        for link in links:
            await link.log_out()

    async def settled(self, first: Held | None) -> tuple[Held, list[str]]:
        """Return what the server holds, and what of it is too much, after SETTLE seconds at most."""
        last = time.monotonic() + SETTLE
        while True:
            await asyncio.sleep(2)
            held = await asyncio.to_thread(self.held)
            more = held.more_than(first or held)
            more += [
                f"{name}: {held.counts[name]}" for name in ("links", "spool files", "waiting") if held.counts[name]
            ]
            if not more or time.monotonic() > last:
                return held, more

    def held(self) -> Held:
        """Count what the server holds."""
        from tmtp.simulation.temporary_server import memory
        from tmtp.tests.processes import children_of

        pids = [self.server.process.pid, *children_of(self.server.process.pid)]
        found = [self.asked(pid) for pid in pids]
        names = [name for each in found for name in each["threads"]]
        objects: Counter[str] = sum((Counter(each["objects"]) for each in found), Counter())
        descriptors = [path for pid in pids for path in Path(f"/proc/{pid}/fd").iterdir()]
        in_pools = sum(name.startswith(POOLS) for name in names)
        counts = {
            "descriptors": len(descriptors),
            "sockets": sum(map(is_socket, descriptors)),
            "threads": sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids) - in_pools,
            "in pools": in_pools,
            "tasks": sum(each["tasks"] for each in found),
            "links": objects["tmtp.links.session.Session"],
            "spool files": sum(path.is_file() for path in (self.folder / "spool").rglob("*")),
            "waiting": waiting(),
        }
        return Held(sum(memory(pid) or 0.0 for pid in pids), counts, objects)

    def asked(self, pid: int) -> dict[str, Any]:
        """Return what a process of the server counts."""
        place = self.folder / f"counts{pid}"
        place.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
        last = time.monotonic() + 20
        while not place.exists():
            if time.monotonic() > last:
                raise TimeoutError("the server does not count")
            time.sleep(0.05)
        counts: dict[str, Any] = json.loads(place.read_text())
        return counts


def is_socket(descriptor: Path) -> bool:
    """Return whether a descriptor of a process is a socket, False if it was just closed."""
    with contextlib.suppress(OSError):
        return os.readlink(descriptor).startswith("socket:")
    return False


def waiting() -> int:
    """Return how many messages wait for devices, one for several devices as so many."""
    from django.db import connection

    from tmtp.models import QueueEntry

    try:
        return QueueEntry.objects.count()
    finally:
        connection.close()


if __name__ == "__main__":
    main()
