"""A short selection of the faults of `make faults`; and servers with a bug each, which the ledger must notice."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator

import pytest

from .faults import scenarios
from .faults.forking import Fork, forking
from .faults.mutants import BUGS
from .faults.power import Disk, shim
from .faults.scenarios import LARGE, Place
from .ledger import Crowd
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
RUNS = 8  # of a server with a bug, which is caught in one of the first two as a rule


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
        crowd = Crowd(server, 6, sizes=LARGE)
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
        crowd = Crowd(server, 5, sizes=LARGE, patience=2)
        try:
            await crowd.start()
            await crowd.more(15)
            server.kill()
            disk.cut(chance=0)
            await server.restart()
            await crowd.more(5)
        finally:
            await crowd.finish()
