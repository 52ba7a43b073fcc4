"""Real server processes, each with its own database, and a client that sends exactly what a test asks for.

    with installation() as site, site.serve() as server:
        alice = await server.register("alice")

Nothing is left behind: processes end with the test (or with pytest), folders and databases with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
Frame = tuple[dict[str, Any], bytes]
_serial = itertools.count(1)


# -- installations


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
            template = postgresql_template()
            with administer() as admin:
                admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            yield Installation(folder, url_of(name), tmtp)
        else:
            shutil.copy(sqlite_template(), folder / "mnm.sqlite3")
            yield Installation(folder, "", tmtp)
    finally:
        shutil.rmtree(folder)
        if on_postgresql():
            with administer() as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def on_postgresql() -> bool:
    """Return whether this test run uses PostgreSQL."""
    return bool(os.environ.get("DATABASE_URL"))


def url_of(name: str) -> str:
    """Return the URL of a database in this run's PostgreSQL."""
    return os.environ["DATABASE_URL"].replace("/mnm?", f"/{name}?")


def administer(name: str = "postgres") -> Any:
    """Open a connection to this run's PostgreSQL without Django."""
    import psycopg

    return psycopg.connect(url_of(name), autocommit=True)


@cache
def certificate() -> Path:
    """Return the run's folder with cert.pem and key.pem."""
    from tmtp.server.certificate import make_self_signed

    folder = shared_folder() / "tls"
    make_self_signed(folder / "cert.pem", folder / "key.pem", ["localhost", "127.0.0.1"])
    return folder


@cache
def sqlite_template() -> Path:
    """Return a migrated database file to copy."""
    folder = shared_folder() / "template"
    folder.mkdir()
    _migrate(MNM_VAR=str(folder), DATABASE_URL="")
    with contextlib.closing(sqlite3.connect(folder / "mnm.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = DELETE")  # so that everything is in one file
    return folder / "mnm.sqlite3"


@cache
def postgresql_template() -> str:
    """Return the name of a migrated database to copy."""
    name = f"template_{os.getpid()}"
    folder = shared_folder() / "template"
    folder.mkdir()
    with administer() as admin:
        admin.execute(f"CREATE DATABASE {name}")
    _migrate(MNM_VAR=str(folder), DATABASE_URL=url_of(name))
    return name


def shared_folder() -> Path:
    """Return a folder that is removed at the end of the run (its MNM_VAR is in one)."""
    folder = Path(os.environ["MNM_VAR"]).parent / "real"
    folder.mkdir(exist_ok=True)
    return folder


def _migrate(**env: str) -> None:
    """Run `migrate` with all apps that a site of the run may have, those of a provider too."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0", "--skip-checks"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "MNM_PROVIDER": "on", **env}, check=True)


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, said: Callable[[], str]) -> None:
    """Wait until a server listens at a loopback port. Fail with the result of `said` if none does."""
    last = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < last, f"nobody listens: {said()}"
            time.sleep(0.05)


# -- processes


def die_with_parent(then: Callable[[], None] | None = None) -> Callable[[], None]:
    """Return what a child runs first, so that it is killed together with this process."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl:
            prctl(1, int(signal.SIGKILL))
        if then:
            then()

    return prepare


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


def children_of(pid: int) -> list[int]:
    """Return the ids of the processes that a process has started and that run."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return sorted(one for one in pids if _state_and_parent(one)[1] == pid and is_running(one))


def is_running(pid: int) -> bool:
    """Return whether a process has not ended."""
    return _state_and_parent(pid)[0] not in "Z"


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "Z", 0
    return state, int(parent)


class LoginRefused(Exception):
    """The server has refused a login."""


class Other:
    """A process that is not the server. It runs code with Django set up, like a web worker or a shell."""

    SCRIPT = """
import json, sys, traceback
import django
django.setup()
print("ready", flush=True)
for line in sys.stdin:
    scope = {}
    try:
        exec(json.loads(line), scope)
        print(json.dumps(scope.get("result")), flush=True)
    except BaseException:
        print(json.dumps({"raised": traceback.format_exc()}), flush=True)
"""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def run(self, code: str) -> Any:
        """Run code, and return the value of its variable `result`."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(code).encode() + b"\n")
        self._process.stdin.flush()
        result = json.loads(self._process.stdout.readline())
        assert not (isinstance(result, dict) and "raised" in result), result["raised"]
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


# -- a client


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


TLS = _client_context()


def frame(data: bytes = b"", **members: Any) -> bytes:
    """Return a request. `for_` and `from_` stand for the members `for` and `from`, which are Python keywords."""
    header = {key.rstrip("_"): value for key, value in members.items()}
    if data:
        header.setdefault("datalen", len(data))
    octets = json.dumps(header).encode()
    return b"%04x%b%b" % (len(octets), octets, data)


class Client:
    """One link. It sends requests exactly as given, and returns frames one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.uid = self.nodeid = ""
        self.pending: list[Frame] = []  # frames received while waiting for another one

    def send(self, data: bytes = b"", **members: Any) -> None:
        """Send a request."""
        self.writer.write(frame(data, **members))

    async def register(self, alias: str = "_") -> None:
        """Op 1."""
        self.send(op=1, newnode="test", newalias=alias)
        header, _ = await self.receive()
        assert header["op"] == "registered", header
        assert "error" not in header, header
        self.uid, self.nodeid = header["uid"], header["nodeid"]
        header, _ = await self.receive()
        assert header == {"op": "info", "info": "login ok"}, header

    def post(self, request_id: str, to: list[str], body: bytes, **members: Any) -> None:
        """Op 7, to uids."""
        self.send(body, op=7, id=request_id, for_=[{"id": uid, "type": 1} for uid in to], **members)

    def acknowledge(self, msgid: str) -> None:
        """Op 10."""
        self.send(op=10, id=msgid, type="ok")

    async def head(self) -> dict[str, Any]:
        """Return the next frame's header, without reading its data. Raise IncompleteReadError at the end."""
        length = int(await self.reader.readexactly(4), 16)
        header: dict[str, Any] = json.loads(await self.reader.readexactly(length))
        return header

    async def receive(self, timeout: float = PATIENCE) -> Frame:
        """Return the next frame."""
        if self.pending:
            return self.pending.pop(0)
        async with asyncio.timeout(timeout):
            header = await self.head()
            return header, await self.reader.readexactly(header.get("datalen") or header.get("notelen") or 0)

    async def expect(self, timeout: float = PATIENCE, **members: Any) -> Frame:
        """Return the next frame that has these members. Keep frames before it for later."""
        async with asyncio.timeout(timeout):
            passed: list[Frame] = []
            while True:
                header, data = await self.receive(timeout)
                if header.items() >= members.items():
                    self.pending = passed + self.pending
                    return header, data
                passed.append((header, data))

    async def leave(self) -> None:
        """Op 12. The node is free then."""
        self.send(op=12)
        assert await self.ended() == "logout ok"

    async def ended(self, timeout: float = PATIENCE) -> str | None:
        """Wait for the end of the link, and return the reason of the `quit`, if there was one."""
        reason = None
        try:
            while True:
                header, _ = await self.receive(timeout)
                if header.get("op") == "quit":
                    reason = header["error"]
        except (OSError, asyncio.IncompleteReadError):
            return reason
        finally:
            self.close()

    def close(self) -> None:
        """Cut the link."""
        self.writer.transport.abort()


async def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> float:
    """Poll until a condition holds, and return the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout, "it did not come true"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


# -- a network that can be cut


class Relay:
    """Stands between a server and PostgreSQL, and can let everything vanish that goes either way."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._path = folder / ".s.PGSQL.5432"
        real = unquote(database_url.rpartition("host=")[2])
        self._real = f"{real}/.s.PGSQL.5432"
        self.database_url = database_url.replace(quote(real), quote(str(folder)))
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket | None = None) -> None:
        """Listen on a Unix socket, or where a test says."""
        if listener:
            self._server = await asyncio.start_server(self._join, sock=listener)
        else:
            self._server = await asyncio.start_unix_server(self._join, self._path)

    def swallow(self) -> None:
        """Let nothing through, and do not say so."""
        self._flows.clear()

    def pass_on(self) -> None:
        """Let everything through that comes from now on over new connections."""
        self._flows.set()

    def drop(self) -> None:
        """End all connections on the side of PostgreSQL, as it does itself when it notices that a client is gone."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """End all connections."""
        self._server.close()
        self._flows.set()
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self._flows.wait()
        if not self._flows.is_set():
            return  # the test has ended
        there, back = await asyncio.open_unix_connection(self._real)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
        except OSError:
            pass
        finally:
            target.close()
