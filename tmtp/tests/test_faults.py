"""A short selection of the faults of `make faults`; and servers with a bug each, which the ledger must notice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator

import pytest

from .faults import scenarios
from .faults.forking import Fork, forking
from .faults.mutants import AFTER_A_FAILED_SYNC, BUGS, SOUND
from .faults.power import Disk, shim
from .faults.scenarios import LARGE, Place
from .ledger import Crowd, Device, Ledger
from .processes import PATIENCE, until
from .servers import installation

pytestmark = pytest.mark.once  # the disk that is recorded is SQLite's

SELECTION = (
    scenarios.kill_server,
    scenarios.cut_power,
    scenarios.cut_power,
    scenarios.fail_sync_and_cut_power,
    scenarios.cut_clients,
    scenarios.pretend_full_disk,
    scenarios.stop_reading,
)
PAUSE = 0.02  # seconds between two posts of a device, which saves work
RUNS = 30  # at most, of a server with a bug, which is caught in one of the first few as a rule


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[Disk, Fork]]:
    """Return a disk that is recorded, and a process to fork servers from that use it."""
    try:
        shim()
    except (OSError, subprocess.CalledProcessError) as error:
        missing = f"a C compiler is needed: {error}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with installation() as site:
        disk = Disk(site.folder, random.Random())
        with forking(site, **disk.env) as fork:
            yield disk, fork


async def test_nothing_acknowledged_is_lost(recorded: tuple[Disk, Fork], monkeypatch: pytest.MonkeyPatch) -> None:
    disk, fork = recorded
    with fork.serve() as server:
        crowd = Crowd(server, 6, sizes=LARGE, pause=PAUSE)
        place = Place(fork.site, server, crowd, random.Random(), disk)
        await crowd.start()
        await crowd.more(20)
        for act in SELECTION:
            await act(place)
            await crowd.more(10)
        ledger = await crowd.finish()
        assert any(post.tries > 1 for post in ledger.acked)
        assert "Traceback" not in server.log


@pytest.mark.parametrize("bug", [bug.__name__ for bug in BUGS])
async def test_the_ledger_notices_a_server_that(bug: str, recorded: tuple[Disk, Fork]) -> None:
    disk, fork = recorded
    with pytest.raises(AssertionError, match="wrong"):
        for _ in range(RUNS):
            await a_run(disk, fork, bug)


async def a_run(disk: Disk, fork: Fork, bug: str) -> None:
    """Cut the power while clients post, and check the ledger."""
    with fork.serve(bug) as server:
        crowd = Crowd(server, 5, sizes=(400, 70_000), patience=1, pause=PAUSE)  # half of them are spooled
        try:
            await crowd.start()
            await crowd.more(15)
            server.kill()
            disk.cut(chance=0)
            await server.restart()
            await crowd.more(5)
        finally:
            await crowd.finish()


@pytest.mark.parametrize("of", ["-wal", "spool"])
async def test_a_failed_sync_is_not_taken_for_done(of: str, recorded: tuple[Disk, Fork]) -> None:
    await after_a_failed_sync(*recorded, SOUND.__name__, of)


@pytest.mark.parametrize("bug, of", [(bug.__name__, of) for bug, of in AFTER_A_FAILED_SYNC.items()])
async def test_the_ledger_notices_one_that(bug: str, of: str, recorded: tuple[Disk, Fork]) -> None:
    with pytest.raises(AssertionError, match="wrong"):
        await after_a_failed_sync(*recorded, bug, of)


async def after_a_failed_sync(disk: Disk, fork: Fork, change: str, of: str) -> None:
    """Let a sync fail while somebody posts to an absent device. Kill the server, then cut the power."""
    ledger = Ledger()
    with fork.serve(change) as server:
        ann, bob = Device("ann", server, ledger), Device("bob", server, ledger)
        for device in (ann, bob):
            await device.join()
        await bob.leave()
        disk.fail_next_sync(of)
        posting = asyncio.create_task(ann.post(1, [bob], 70_000))
        await until(lambda: disk.failed)
        if of == "-wal":
            server.kill()  # what it knows of its log is gone; what the system holds of it is not
        with contextlib.closing(sqlite3.connect(fork.site.folder / "mnm.sqlite3")) as website:
            website.execute("SELECT count(*) FROM tmtp_node").fetchall()  # it reads the log
            if of == "-wal":
                await server.restart()
            await posting
            await ann.post(2, [bob])
        server.kill()
        disk.cut(chance=0)
        await server.restart()
        bob.come_back()
        try:
            async with asyncio.timeout(PATIENCE if change == SOUND.__name__ else 1.5):
                await ann.post(3, [bob])
                while not all(post.msgid in bob.received for post in ledger.acked):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass  # the ledger says what is missing
        finally:
            for device in (ann, bob):
                await device.leave()
        ledger.check([ann, bob])
