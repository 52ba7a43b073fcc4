"""A PostgreSQL of its own, which can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import conftest
from tmtp.tests.databases import shared_folder


@cache
def programs() -> Path:
    """Return the folder of PostgreSQL's programs, which whoever runs them can read."""
    found = conftest.postgresql_programs()
    folder = shared_folder()
    if os.geteuid() == 0 and not conftest.runs([found / "postgres", "--version"], {"user": "nobody", "cwd": "/"}):
        for parent in (folder, folder.parent):
            parent.chmod(0o711)
        return conftest.copy_programs(found, folder)
    return found


class Postgresql:
    """PostgreSQL in a folder, on a socket there. Unlike in other tests, it waits for the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._home = folder / "postgresql"
        self._home.mkdir(mode=0o700)
        self._options: dict[str, Any] = {"cwd": self._home, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:  # it refuses to run as root
            self._options |= {"user": "nobody", "group": self._home.stat().st_gid, "extra_groups": []}
            folder.chmod(0o711)
            shutil.chown(self._home, "nobody")
        self._programs = programs()
        initdb = [self._programs / "initdb", "--pgdata=data", "--username=postgres", "--auth=trust", "--no-sync"]
        encoding = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        subprocess.run([*initdb, *encoding], check=True, stdout=subprocess.DEVNULL, **self._options)
        self.start()
        with self.administer() as admin:
            admin.execute("CREATE DATABASE mnm")
        self.url = f"postgresql://postgres@/mnm?host={quote(str(self._home))}"

    def start(self) -> None:
        """Start it, and wait until it has recovered."""
        command = [self._programs / "postgres", "-D", self._home / "data", "-k", self._home, "-h", "", "-N", "100"]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=conftest.end_with_parent(signal.SIGQUIT),
                **self._options,
            )
        last = time.monotonic() + conftest.PATIENCE
        while True:
            with contextlib.suppress(Exception):
                self.administer().close()
                return None
            assert time.monotonic() < last, (self._home / "log").read_text()[-2000:]
            if self._process.poll() is not None:  # processes of the one that was killed still run
                time.sleep(0.1)
                return self.start()
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9 of the postmaster. Its processes end when they notice."""
        self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether the postmaster runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return self._process.pid

    def administer(self) -> Any:
        """Open a connection without Django."""
        import psycopg

        url = f"postgresql://postgres@/postgres?host={quote(str(self._home))}"
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def backends(self, url: str) -> list[int]:
        """Return the process ids of the sessions of a database."""
        name = url.rpartition("?")[0].rpartition("/")[2]
        with self.administer() as admin:
            found = admin.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", [name])
            return [pid for (pid,) in found]

    def stop(self) -> None:
        """End it."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(conftest.PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
