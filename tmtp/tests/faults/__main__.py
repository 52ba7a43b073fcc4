"""`python -m tmtp.tests.faults`: let every fault happen many times, and print a table.

The exit status is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import conftest
from tmtp.tests.databases import postgresql_template
from tmtp.tests.hosts import NoHosts, check_programs, check_rights
from tmtp.tests.servers import Installation, installation

from .postgresql import Postgresql
from .power import shim
from .scenarios import FAULTS, SMALL_DISK, Fault, Result, run, small_disk

HEADINGS = f"{'fault':26} {'database':11} {'rounds':>6} {'acked':>7} {'refused':>7} {'again':>6} {'gap s':>6}  result"


def main() -> None:
    """Run the faults."""
    conftest.prepare("sqlite")
    os.environ["DJANGO_SETTINGS_MODULE"] = "mnmsite.tests.settings"  # with workers
    parser = argparse.ArgumentParser(prog="python -m tmtp.tests.faults", description=__doc__)
    parser.add_argument("--only", help="names of faults, separated by commas", default="")
    parser.add_argument("--database", choices=conftest.DATABASES, help="default: both")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the rounds")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    only = [name.strip().replace("_", " ") for name in options.only.split(",") if name.strip()]
    if unknown := set(only) - {fault.name for fault in FAULTS}:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(fault.name for fault in FAULTS)}")
    print(f"seed {options.seed}\n{HEADINGS}", flush=True)
    chosen = [
        (fault, database)
        for database in conftest.DATABASES
        for fault in FAULTS
        if database in fault.databases and options.database in (None, database) and (not only or fault.name in only)
    ]
    begun = time.monotonic()
    results = [show(fault, database, fault.rounds * options.scale, options.seed) for fault, database in chosen]
    rounds, wrong = sum(result.rounds for result in results), sum(bool(result.wrong) for result in results)
    print(f"{rounds} rounds in {time.monotonic() - begun:.0f} s, {wrong} faults with something wrong")
    sys.exit(1 if wrong else 0)


def show(fault: Fault, database: str, rounds: float, seed: int) -> Result:
    """Let a fault happen, and print its line of the table."""
    try:
        with place_for(fault, database) as (site, postgresql):
            result = asyncio.run(run(fault, site, max(1, round(rounds)), seed, postgresql))
    except (PermissionError, FileNotFoundError, NoHosts, subprocess.CalledProcessError) as error:
        return skip(fault, database, str(error))
    line = f"{fault.name:26} {database:11} {result.rounds:6} {result.acked:7} {result.refused:7}"
    print(f"{line} {result.repeated:6} {result.gap:6.1f}  {'WRONG' if result.wrong else 'as promised'}", flush=True)
    for note in [*dict.fromkeys(result.notes)][-3:]:
        print(f"    {note}")
    if result.wrong:
        print("    " + result.wrong.replace("\n", "\n    "), flush=True)
    return result


def skip(fault: Fault, database: str, why: str) -> Result:
    """Print that a fault is left out. That is wrong where everything is to be tested (CI)."""
    print(f"{fault.name:26} {database:11} left out: {why}", flush=True)
    return Result(wrong=why if os.environ.get("CI") else "")


@contextlib.contextmanager
def place_for(fault: Fault, database: str) -> Iterator[tuple[Installation, Postgresql | None]]:
    """Return a site, and a PostgreSQL of its own if it uses one.

    Raise PermissionError or NoHosts if that needs root, and what `shim` raises if it needs a compiler.
    """
    with contextlib.ExitStack() as stack:
        if fault.on_small_disk and os.geteuid() != 0:
            raise PermissionError("only root can mount a small disk")
        if fault.records_disk:
            shim()
        if fault.two_hosts:
            check_programs()
            check_rights()
        small = stack.enter_context(small_disk(SMALL_DISK[database])) if fault.on_small_disk else None
        postgresql = None
        os.environ.pop("DATABASE_URL", None)
        if database == "postgresql":
            folder = small or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnm-faults-")))
            postgresql = Postgresql(folder)
            stack.callback(postgresql.stop)
            os.environ["DATABASE_URL"] = postgresql.url
            postgresql_template.cache_clear()
        where = small if database == "sqlite" else None
        yield stack.enter_context(installation(where, **dict(fault.settings))), postgresql


if __name__ == "__main__":
    main()
