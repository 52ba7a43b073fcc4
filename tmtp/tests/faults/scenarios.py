"""The faults, each as a function that does it once, while a crowd of clients posts.

`FAULTS` lists them with their databases and rounds. `run` runs the rounds of one fault and returns what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmtp.tests.ledger import Crowd
from tmtp.tests.processes import until
from tmtp.tests.servers import Installation, Server

from . import workers
from .clients import an_octet_a_second, cut_in_a_record, strangers
from .forking import forking
from .postgresql import Postgresql
from .power import Disk
from .two_hosts import Pair, pair_of_hosts

LARGE = (0, 100, 400, 3000, 70_000)  # the last one is spooled
SMALL_DISK = {"sqlite": 64 * 2**20, "postgresql": 200 * 2**20}  # octets
FLOOR = 8 * 2**20
STOPPED = 10.0  # seconds
STRANGERS = 5000


@dataclass
class Place:
    """Where faults happen: a server and its clients."""

    site: Installation
    server: Server
    crowd: Crowd
    by: random.Random
    disk: Disk | None = None
    postgresql: Postgresql | None = None
    pair: Pair | None = None
    notes: list[str] = field(default_factory=list)

    async def kill(self) -> None:
        """kill -9 of the server, and a new one."""
        self.server.kill()
        await self.server.restart()


# -- processes


async def kill_server(place: Place) -> None:
    """kill -9 of runtmtp, now and then of the new one as well as soon as it serves."""
    for _ in range(place.by.choice([1, 1, 2])):
        await place.kill()


async def kill_a_process(place: Place) -> None:
    """kill -9 of one of the processes of runtmtp. With the store's, all end, and a new server is started."""
    seen = len(place.server.log)
    os.kill(place.by.choice(_children(place.server.pid)), signal.SIGKILL)
    await asyncio.sleep(0.5)
    if "the store's process has ended" in place.server.log[seen:]:
        await until(lambda: place.server.process.poll() is not None)
        await place.kill()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


async def stop_server(place: Place) -> None:
    """SIGSTOP of runtmtp for ten seconds."""
    await _stop([place.server.pid])


async def end_server(place: Place) -> None:
    """SIGTERM."""
    await place.server.stop()
    await place.server.restart()


async def kill_backend(place: Place) -> None:
    """kill -9 of a process of PostgreSQL, which ends all the others and recovers."""
    assert place.postgresql
    os.kill(place.by.choice(place.postgresql.backends(place.site.database_url)), signal.SIGKILL)


async def terminate_backends(place: Place) -> None:
    """All sessions are ended."""
    assert place.postgresql
    for pid in place.postgresql.backends(place.site.database_url):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


async def kill_postmaster(place: Place) -> None:
    """kill -9 of the postmaster, and a new one."""
    assert place.postgresql
    place.postgresql.kill()
    await asyncio.sleep(place.by.random() / 2)
    place.postgresql.start()


async def stop_backends(place: Place) -> None:
    """SIGSTOP of all sessions of PostgreSQL for ten seconds."""
    assert place.postgresql
    await _stop(place.postgresql.backends(place.site.database_url))


async def _stop(processes: list[int]) -> None:
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGSTOP:
            await asyncio.sleep(STOPPED)


async def kill_worker(place: Place) -> None:
    """kill -9 of a worker with all its processes, once or twice while it sends to 1,500 members."""
    number = len(place.crowd.ledger.from_site)
    with place.site.other_process() as other:
        if not number:
            other.run(workers.MEMBERS.format(uids=[device.uid for device in place.crowd.devices]))
        other.run(workers.BROADCAST.format(number=number))
        for _ in range(place.by.choice([1, 2])):
            with workers.worker(place.site):
                await until(lambda: other.run(workers.STATE) != "scheduled")
                await asyncio.sleep(place.by.random())
            await asyncio.sleep(workers.CLAIM_FOR + 0.2)
            other.run(workers.A_MINUTE_LATER)
        with workers.worker(place.site):
            await until(lambda: other.run(workers.STATE) == "done", 60)
    place.crowd.ledger.from_site.append(workers.TEXT.format(number=number).encode())


# -- disks


async def cut_power(place: Place) -> None:
    """The power is cut: what was not synced is lost or torn."""
    assert place.disk
    place.server.kill()
    place.disk.cut()
    await place.server.restart()


async def fail_sync_and_cut_power(place: Place) -> None:
    """A sync fails. A while later the server is killed, or the power is cut, or both."""
    assert place.disk
    place.disk.fail_next_sync(place.by.choice(["-wal", "-wal", "spool", "mnm.sqlite3"]))
    with contextlib.suppress(AssertionError):
        await until(lambda: place.disk is not None and place.disk.failed, 1)
    await asyncio.sleep(place.by.choice([0, 0.02, 0.3]))
    if place.by.random() < 0.7:
        await place.kill()
        await asyncio.sleep(place.by.choice([0, 0.3]))
    await cut_power(place)


async def fill_disk(place: Place) -> None:
    """Another program fills the disk. A device logs in, acknowledges, and logs in again, and nothing comes twice."""
    await _with_full_disk(place, lambda: _filled(place.site.folder))


async def pretend_full_disk(place: Place) -> None:
    """The same, without a small disk: the shim refuses what makes files grow."""
    assert place.disk
    await _with_full_disk(place, place.disk.full)


async def _with_full_disk(place: Place, full: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    absent = await _with_messages(place.server, 3)
    await until((place.site.folder / "mnm.sqlite3-reserve").exists)
    with full():
        enough = _refused(place.crowd) + 10
        await until(lambda: _refused(place.crowd) >= enough)
        for waiting in (3, 0):
            begun = time.monotonic()
            client = await place.server.login(*absent)
            for _ in range(waiting):
                header, _ = await client.expect(op="delivery")
                client.acknowledge(header["id"])
            client.send(op=12)  # everything before it is committed when the device comes again
            assert not [head for head, _ in await _rest(client) if head["op"] == "delivery"], "it came twice"
            place.notes.append(f"login {time.monotonic() - begun:.1f} s")


async def _with_messages(server: Server, count: int) -> tuple[str, str]:
    """Return the uid and nodeid of a device for which messages wait."""
    absent, sender = await server.register(), await server.register()
    absent.close()
    for number in range(count):
        sender.post(str(number), [absent.uid], b"waits")
        while "error" in (await sender.expect(op="ack", id=str(number)))[0]:
            await asyncio.sleep(0.2)
            sender.post(str(number), [absent.uid], b"waits")
    sender.close()
    return absent.uid, absent.nodeid


async def _rest(client: Any) -> list[Any]:
    rest = []
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            rest.append(await client.receive())
    return rest


def _refused(crowd: Crowd) -> int:
    return sum(bool(post.refused) for post in crowd.ledger.posts.values())


@contextlib.contextmanager
def _filled(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))
        yield
    finally:
        filler.unlink()


async def fill_disk_of_postgresql(place: Place) -> None:
    """Another program fills PostgreSQL's disk, which may stop it. It is freed, and started again if it has stopped."""
    assert place.postgresql
    with _filled(place.postgresql.folder):
        await asyncio.sleep(0.5 + 2 * place.by.random())
    if not place.postgresql.is_running:
        place.postgresql.start()


# -- clients


async def cut_clients(place: Place) -> None:
    """Five clients are cut off in the middle of a TLS record of a post."""
    crowd = place.crowd
    for _ in range(5):
        await cut_in_a_record(place.server, crowd.ledger, place.by.sample(crowd.devices, 2), place.by)


async def stop_reading(place: Place) -> None:
    """Two devices stop reading, and come back over another link after a while."""
    devices = place.by.sample(place.crowd.devices, 2)
    for device in devices:
        device.stop_reading()
    await asyncio.sleep(1 + place.by.random())
    for device in devices:
        device.cut()


async def dribble(place: Place) -> None:
    """Ten clients send an octet a second for a while."""
    seconds = 3 + 3 * place.by.random()
    await asyncio.gather(*[an_octet_a_second(place.server, seconds) for _ in range(10)])


async def never_log_in(place: Place) -> None:
    """5,000 links never log in. The p99 of another client's acks is noted, without and with them."""
    calm = await _p99(place.server)
    async with strangers(place.server.port, STRANGERS) as count:
        while (await count())[0] < STRANGERS * 0.9:
            await asyncio.sleep(0.2)
        busy = await _p99(place.server)
        here, opened = await count()
    place.notes.append(f"{here} links open, {opened} were opened; p99 {calm:.0f} ms without, {busy:.0f} ms with them")
    assert busy < max(10 * calm, 500), place.notes[-1]


async def _p99(server: Server) -> float:
    """Return the p99 of the acks of a client that posts to itself for some seconds, in ms."""
    client = await server.register()
    times: list[float] = []
    last = time.monotonic() + 8
    while time.monotonic() < last:
        begun = time.monotonic()
        client.post(str(begun), [client.uid], b"well?")
        await client.expect(op="ack", id=str(begun))
        times.append(time.monotonic() - begun)
        header, _ = await client.expect(op="delivery")
        client.acknowledge(header["id"])
        await asyncio.sleep(0.01)
    client.close()
    return sorted(times)[int(len(times) * 0.99)] * 1000


async def cut_network(place: Place) -> None:
    """The network between two hosts is cut, for longer than a lease lasts or for a moment. PostgreSQL may notice."""
    assert place.pair
    await place.pair.cut(seconds=place.by.choice([0, 2, 10, 40]), noticed=place.by.random() < 0.5)


# -- running them

Act = Callable[[Place], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """A fault, and how often it happens on each database."""

    act: Act
    rounds: int
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    on_small_disk: bool = False
    records_disk: bool = False
    two_hosts: bool = False
    processes: int = 0  # of links, besides the store's
    quiet: bool = False  # with few clients that post
    settings: tuple[tuple[str, Any], ...] = ()  # in TMTP
    extra_settings: str = ""  # Python code after the site's settings

    @property
    def name(self) -> str:
        """The name."""
        return self.act.__name__.replace("_", " ")


SQLITE, POSTGRESQL = ("sqlite",), ("postgresql",)
IMPATIENT = (("STORE_PATIENCE", 2),)
FAULTS = (
    Fault(kill_server, 25),
    Fault(kill_a_process, 10, processes=2),
    Fault(end_server, 5),
    Fault(stop_server, 2),
    Fault(kill_backend, 25, POSTGRESQL),
    Fault(terminate_backends, 25, POSTGRESQL),
    Fault(kill_postmaster, 10, POSTGRESQL),
    Fault(stop_backends, 2, POSTGRESQL, settings=IMPATIENT),
    Fault(kill_worker, 5, quiet=True, extra_settings=workers.SETTINGS),
    Fault(cut_power, 50, SQLITE, records_disk=True),
    Fault(fail_sync_and_cut_power, 30, SQLITE, records_disk=True),
    Fault(fill_disk, 5, SQLITE, on_small_disk=True, settings=(("MIN_FREE", FLOOR),)),
    Fault(pretend_full_disk, 5, SQLITE, records_disk=True),
    Fault(fill_disk_of_postgresql, 3, POSTGRESQL, on_small_disk=True, settings=(*IMPATIENT, ("MIN_FREE", FLOOR))),
    Fault(cut_clients, 15),
    Fault(stop_reading, 8),
    Fault(dribble, 2),
    Fault(never_log_in, 1, quiet=True),
    Fault(cut_network, 5, POSTGRESQL, two_hosts=True),
)


@dataclass
class Result:
    """What came of the rounds of a fault."""

    rounds: int = 0
    acked: int = 0
    refused: int = 0
    repeated: int = 0
    gap: float = 0.0  # the longest time from the end of a fault to the next ack
    notes: list[str] = field(default_factory=list)
    wrong: str = ""


async def run(fault: Fault, site: Installation, rounds: int, seed: int, postgresql: Postgresql | None) -> Result:
    """Let a fault happen so many times while clients post, and check the ledger."""
    by = random.Random(seed)
    result = Result()
    async with _place(fault, site, by, postgresql) as place:
        crowd = place.crowd
        try:
            async with asyncio.timeout(120 + (90 if fault.two_hosts else 30) * rounds):
                await crowd.start()
                await crowd.more(30)
                for _ in range(rounds):
                    await asyncio.sleep(by.random() / 4)
                    await fault.act(place)
                    begun = time.monotonic()
                    await crowd.more(1)
                    result.gap = max(result.gap, time.monotonic() - begun)
                    await crowd.more(by.randint(1, 60))
                    result.rounds += 1
                await crowd.finish()
                if place.pair:
                    place.pair.check()
        except Exception as error:
            result.wrong = f"{type(error).__name__}: {error}"
            await crowd.leave()
        for server in {device.server for device in crowd.devices}:
            if "Traceback" in server.log:
                result.wrong += "\na traceback in the log:\n" + server.log.partition("Traceback")[2][:3000]
    posts = crowd.ledger.posts.values()
    result.acked, result.refused = len(crowd.ledger.acked), sum(bool(post.refused) for post in posts)
    result.repeated = sum(post.tries > 1 for post in posts)
    result.notes = place.notes
    return result


@contextlib.asynccontextmanager
async def _place(
    fault: Fault, site: Installation, by: random.Random, postgresql: Postgresql | None
) -> AsyncIterator[Place]:
    """Run what a fault needs. The clients are yet to begin."""
    if fault.two_hosts:
        async with pair_of_hosts(site) as pair:
            yield Place(site, pair.one, pair.crowd, by, postgresql=postgresql, pair=pair)
        return
    disk = Disk(site.folder, by) if fault.records_disk else None
    with (site.folder / "overridden_settings.py").open("a") as settings:
        settings.write(fault.extra_settings)
    with forking(site, **(disk.env if disk else {})) as fork, fork.serve(processes=fault.processes) as server:
        sizes = LARGE if disk else (0, 100, 400, 3000)
        crowd = Crowd(server, 3 if fault.quiet else 12, sizes=sizes, pause=0.05 if fault.quiet else 0)
        yield Place(site, server, crowd, by, disk, postgresql)


@contextlib.contextmanager
def small_disk(octets: int) -> Iterator[Path]:
    """Mount a small disk in memory, which needs root."""
    folder = Path(tempfile.mkdtemp(prefix="mnm-small-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={octets},mode=0711", "mnm", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)
