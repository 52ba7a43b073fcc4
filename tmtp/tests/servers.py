"""Real server processes, each with its own database.

    with installation() as site, site.serve() as server:
        alice = await server.register("alice")

Nothing is left behind: processes end with the test (or with pytest), folders and databases with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .databases import administer, copy_statement, on_postgresql, shared_folder, sqlite_template, url_of
from .processes import PATIENCE, ROOT, Other, children_of, die_with_parent, free_port, is_running, until
from .raw_client import TLS, Client, LoginRefused

_serial = itertools.count(1)


class Installation:
    """A folder and a migrated database of its own, with settings besides those of the test run."""

    def __init__(self, folder: Path, database_url: str, tmtp: dict[str, Any]) -> None:
        self.folder = folder
        self.database_url = database_url
        self.env = {
            **os.environ,
            "MNM_VAR": str(folder),
            "DATABASE_URL": database_url,
            "DJANGO_SETTINGS_MODULE": "overridden_settings",
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "TMTP_LIMITS": "off",
        }
        if not database_url:
            del self.env["DATABASE_URL"]
        self.override(**tmtp)

    def override(self, **tmtp: Any) -> None:
        """Add settings to the TMTP of servers that start from now on."""
        base = os.environ["DJANGO_SETTINGS_MODULE"]
        tmtp = {"LOGIN_TIMEOUT": PATIENCE} | tmtp  # a busy computer takes long to greet
        text = f"import json\nfrom {base} import *\nTMTP = {{**TMTP, **json.loads({json.dumps(tmtp)!r})}}\n"
        (self.folder / "overridden_settings.py").write_text(text)

    @property
    def spool_files(self) -> list[Path]:
        """The files in the spool."""
        return [path for path in (self.folder / "spool").rglob("*") if path.is_file()]

    @contextlib.contextmanager
    def serve(self, port: int = 0, *, wait: bool = True, **options: Any) -> Iterator[Server]:
        """Run a server. It is killed at the end of the block if the test has not stopped it.

        Without `wait`, the test awaits `server.wait()`, so that its own event loop runs meanwhile.
        """
        server = Server(self, port or free_port(), **options)
        server.start(wait)
        try:
            yield server
        finally:
            server.kill()

    @contextlib.contextmanager
    def other_process(self) -> Iterator[Other]:
        """Return another process of the same site, to run code in."""
        other = Other(self.env)
        try:
            yield other
        finally:
            other.close()


@contextlib.contextmanager
def installation(where: Path | None = None, **tmtp: Any) -> Iterator[Installation]:
    """Create an installation on the kind of database that this test run uses, in a new folder in `where`."""
    folder = Path(tempfile.mkdtemp(prefix="mnm-real-", dir=where))
    shutil.copytree(certificate(), folder / "tls")
    name = f"real_{os.getpid()}_{next(_serial)}"
    try:
        if on_postgresql():
            statement = copy_statement(name)
            with administer() as admin:
                admin.execute(statement)
            yield Installation(folder, url_of(name), tmtp)
        else:
            shutil.copy(sqlite_template(), folder / "mnm.sqlite3")
            yield Installation(folder, "", tmtp)
    finally:
        shutil.rmtree(folder)
        if on_postgresql():
            with administer() as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@cache
def certificate() -> Path:
    """Return the run's folder with cert.pem and key.pem."""
    from tmtp.server.certificate import make_self_signed

    folder = shared_folder() / "tls"
    make_self_signed(folder / "cert.pem", folder / "key.pem", ["localhost", "127.0.0.1"])
    return folder


class Server:
    """A server: `manage.py runtmtp` at an address of its own."""

    def __init__(
        self,
        site: Installation,
        port: int,
        *,
        preexec: Callable[[], None] | None = None,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        **env: str,
    ) -> None:
        self.site = site
        self.port = port
        self.log_path = site.folder / f"server-{port}.log"
        self._env = {**site.env, **env}
        self._preexec = preexec
        self._arguments = arguments
        self._wrapper = wrapper  # a command that runs the server
        self._pass_fds = pass_fds
        self.process: subprocess.Popen[bytes] | None = None
        self._successor = 0  # the id of the process that has taken its place

    def start(self, wait: bool = True) -> None:
        """Start the server, and wait until it says that it serves."""
        self._spawn()
        if wait:
            self._wait()

    async def wait(self) -> None:
        """Wait until the server says that it serves."""
        await asyncio.to_thread(self._wait)

    def _spawn(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._wrapper,
                    sys.executable,
                    "manage.py",
                    "runtmtp",
                    "--bind",
                    f"127.0.0.1:{self.port}",
                    *self._arguments,
                ],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=die_with_parent(self._preexec),
                pass_fds=self._pass_fds,
            )

    def _wait(self) -> None:
        assert self.process and self.process.stdout
        line = self.process.stdout.readline().decode()
        assert "TMTP service" in line, f"it says {line!r}\n{self.log}"

    @property
    def pid(self) -> int:
        """The process id."""
        if self._successor:
            return self._successor
        assert self.process
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything that it has logged."""
        return self.log_path.read_text()

    @property
    def memory(self) -> int:
        """The octets of its resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("it does not run")

    @property
    def children(self) -> list[int]:
        """The process ids of its processes, in the order in which they started."""
        return children_of(self.pid)

    async def ended(self) -> int:
        """Wait until it ends by itself, and return the exit code."""
        process, self.process = self.process, None
        assert process and process.stdout
        with process.stdout:
            return await asyncio.to_thread(process.wait, PATIENCE)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Send SIGTERM and return the exit code. Links of this process go on meanwhile."""
        return await asyncio.to_thread(self._end, signal.SIGTERM)

    async def restart(self) -> None:
        """Start the server again at the same address."""
        self._spawn()  # not in a thread: the process would end with it
        await asyncio.to_thread(self._wait)

    async def reload(self, ask: Callable[[], object] | None = None) -> int:
        """Have a new server take its place, and return the exit code of the old one once it has drained.

        `ask` asks for it, by default with SIGHUP.
        """
        told = self.log.count("has taken the place")
        await asyncio.to_thread(ask or (lambda: os.kill(self.pid, signal.SIGHUP)))
        await until(lambda: self.log.count("has taken the place") > told)
        old, self._successor = self.pid, int(re.findall(r"process (\d+) has taken the place", self.log)[-1])
        if self.process:
            return await self.ended()
        await until(lambda: not is_running(old))
        return 0

    def _end(self, how: signal.Signals) -> int:
        if self._successor:
            pid, self._successor = self._successor, 0
            children = children_of(pid)
            os.kill(pid, how)
            last = time.monotonic() + PATIENCE
            while any(map(is_running, [pid, *children])) and time.monotonic() < last:
                time.sleep(0.01)
        process, self.process = self.process, None
        if process is None:
            return 0
        children = children_of(process.pid) if self._arguments else []
        process.send_signal(how)
        assert process.stdout
        with process.stdout:
            code = process.wait(PATIENCE)
        last = time.monotonic() + PATIENCE
        while any(map(is_running, children)) and time.monotonic() < last:
            time.sleep(0.01)
        return code

    async def connect(self) -> Client:
        """Open a link, without sending anything."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=TLS, limit=2**20)
        return Client(reader, writer)

    async def greet(self) -> Client:
        """Open a link and do op 0."""
        client = await self.connect()
        client.send(op=0, id="1")
        header, _ = await client.receive()
        assert header["op"] == "tmtprev"
        return client

    async def register(self, alias: str = "_") -> Client:
        """Register a new user, and return their link."""
        client = await self.greet()
        await client.register(alias)
        return client

    async def login(self, uid: str, nodeid: str) -> Client:
        """Log a node in, and return its link. Its own `login` message is left to be received."""
        client = await self.greet()
        client.uid, client.nodeid = uid, nodeid
        client.send(op=2, uid=uid, node=nodeid)
        header, _ = await client.receive()
        if header.get("info") != "login ok":
            client.close()
            raise LoginRefused(header.get("error"))
        return client
