"""For tests against TMTP: a small client over sockets, and a context manager that runs a real server.

    from tmtp.testing import running_server

    with running_server(migrate=True) as server, server.client() as ann:
        ann.greet()
        ann.register("laptop", "ann of rome")
        ack = ann.ask({"op": 7, "id": "1", "for": []}, b"a note for my other devices")
        assert ack.header["msgid"]

Everything blocks, and nothing waits longer than the client's `timeout`. The server is `manage.py runtmtp` in a process
of its own, as in production: on a free port of loopback, with a self-signed certificate that its clients check.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
from django.conf import settings

from .server.certificate import make_self_signed

__all__ = ["Client", "Closed", "Frame", "Server", "ServerFailed", "frame", "headsum", "running_server"]

READ_OCTETS = 64 * 1024
HOST = "127.0.0.1"
Header = dict[str, Any]


class Closed(Exception):
    """The server has closed the link. `unread` is what it had begun to say, normally nothing."""

    def __init__(self, unread: bytes = b"") -> None:
        super().__init__(f"the server has closed the link{f' in the middle of {unread!r}' if unread else ''}")
        self.unread = unread


class ServerFailed(Exception):
    """The server did not start. The text is what it said; `code` is its exit code, -number when a signal killed it."""

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said)
        self.code = code


@dataclass(frozen=True)
class Frame:
    """A message from the server: its header, the header's octets as they came, and the data."""

    header: Header
    octets: bytes
    data: bytes = b""

    @property
    def op(self) -> str:
        """What kind of message it is."""
        return str(self.header.get("op", ""))

    @property
    def id(self) -> str:
        """The message's own number, or the id of the request it answers."""
        return str(self.header.get("id", ""))

    @property
    def is_queued(self) -> bool:
        """Whether it waits at the server until it is acknowledged (op 10)."""
        return "from" in self.header and "id" in self.header


def frame(header: Mapping[str, Any], data: bytes = b"") -> bytes:
    """A request as octets. `datalen` is added when there is data and the header does not have it."""
    members = dict(header)
    if data and not any(key.casefold() == "datalen" for key in members):
        members["datalen"] = len(data)
    octets = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return b"%04x%b%b" % (len(octets), octets, data)


def headsum(octets: bytes) -> int:
    """What a message's `headsum` must be, computed from the octets of its header: see tmtp.md section 2."""
    bare, found = re.subn(rb',"headsum":\d+|"headsum":\d+,', b"", octets, count=1)
    assert found, "the header has no headsum"
    return int(google_crc32c.value(b"%04x%b" % (len(bare), bare)))


@dataclass
class Client:
    """A link to a server. `tls` None is a plain link.

    The methods that read raise TimeoutError when nothing comes for `timeout` seconds, and Closed at the end.
    """

    address: tuple[str, int]
    tls: ssl.SSLContext | None = None
    timeout: float = 10
    uid: str = ""
    nodeid: str = ""
    _socket: socket.socket = field(init=False, repr=False)
    _received: bytearray = field(init=False, repr=False, default_factory=bytearray)

    def __post_init__(self) -> None:
        """Connect."""
        self._socket = socket.create_connection(self.address, self.timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            self._socket = self.tls.wrap_socket(self._socket, server_hostname=self.address[0])

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # in and out

    def send(self, header: Mapping[str, Any], data: bytes = b"") -> None:
        """Send a request: see `frame`."""
        self.send_octets(frame(header, data))

    def send_octets(self, octets: bytes) -> None:
        """Send octets as they are. That the link has ended is left for reading to tell."""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._socket.sendall(octets)

    def receive(self) -> Frame:
        """The next message."""
        length = self._peek(4)
        octets = self._peek(4 + int(length, 16))[4:]
        header = json.loads(octets)
        if not isinstance(header, dict):
            raise ValueError(f"not a header: {octets!r}")
        end = 4 + len(octets) + int(header.get("datalen", 0))
        data = self._peek(end)[4 + len(octets) :]
        del self._received[:end]
        return Frame(header, octets, data)

    def rest(self) -> list[Frame]:
        """All messages until the server closes the link."""
        frames = []
        while True:
            try:
                frames.append(self.receive())
            except Closed as closed:
                if closed.unread:
                    raise
                return frames

    def close(self) -> None:
        """End the link at once, without a word."""
        self._socket.close()

    def _peek(self, octets: int) -> bytes:
        """The next octets; they stay until the whole message is there."""
        while len(self._received) < octets:
            try:
                piece = self._socket.recv(READ_OCTETS)
            except (ConnectionError, ssl.SSLEOFError):
                piece = b""
            if not piece:
                raise Closed(bytes(self._received))
            self._received += piece
        return bytes(self._received[:octets])

    # the operations that need more than a frame

    def ask(self, header: Mapping[str, Any], data: bytes = b"") -> Frame:
        """Send a request and give its ack. What else comes before that is acknowledged and dropped."""
        self.send(header, data)
        wanted = next(value for key, value in header.items() if key.casefold() == "id")
        while True:
            message = self.receive()
            if message.op == "ack" and message.id == wanted:
                return message
            self.acknowledge(message)

    def next_queued(self, *ops: str) -> Frame:
        """The next queued message of these ops (of any, when none is given), acknowledged, as all before it are."""
        while True:
            message = self.receive()
            self.acknowledge(message)
            if message.is_queued and (not ops or message.op in ops):
                return message

    def greet(self) -> Header:
        """Op 0; gives `tmtprev`."""
        self.send({"op": 0, "id": "1"})
        return self.receive().header

    def register(self, label: str, alias: str = "_") -> Header:
        """Op 1, after `greet`; gives `registered`, and keeps the uid and nodeid."""
        self.send({"op": 1, "newnode": label, "newalias": alias})
        header = self.receive().header
        if header["op"] == "registered":
            self.uid, self.nodeid = header["uid"], header["nodeid"]
            self.receive()
        return header

    def log_in(self, uid: str, nodeid: str) -> Header:
        """Op 2, after `greet`; gives `info`, or the `quit` of a login that failed."""
        self.send({"op": 2, "uid": uid, "node": nodeid})
        self.uid, self.nodeid = uid, nodeid
        return self.receive().header

    def acknowledge(self, message: Frame) -> None:
        """Op 10, when the message is one that wants it."""
        if message.is_queued:
            self.send({"op": 10, "id": message.id, "type": "ok"})

    def quit(self) -> list[Frame]:
        """Op 12; gives all that came until the end."""
        self.send({"op": 12})
        return self.rest()


@dataclass
class Server:
    """A `runtmtp` that runs: where, its process, its standard error, and the TLS its clients use (None: plain)."""

    address: tuple[str, int]
    process: subprocess.Popen[str]
    log: Path
    tls: ssl.SSLContext | None

    def client(self, timeout: float = 10) -> Client:
        """A new link to it."""
        return Client(self.address, self.tls, timeout)

    def said(self) -> str:
        """What it has written to standard error so far."""
        return self.log.read_text("utf-8", "replace")

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 15) -> int:
        """Send it a signal and wait for its end; gives its exit code, -number when the signal killed it."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


@contextlib.contextmanager
def running_server(
    *,
    manage: str | Path | None = None,
    port: int = 0,
    plain: bool = False,
    cert: str | Path | None = None,
    migrate: bool = False,
    database_url: str | None = None,
    var: str | Path | None = None,
    tmtp: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> Iterator[Server]:
    """Run `manage.py runtmtp` until the block ends, and give the Server once it accepts links.

    `manage` is the site's manage.py (default: the one in BASE_DIR); `port` 0 takes a free one; `plain` is without TLS;
    `cert` is the certificate that TMTP["CERT"] names, when that is to be used and not one made for the occasion;
    `migrate` migrates the database first. `database_url` and `var` become DATABASE_URL and MNM_VAR, `env` is put over
    this process's environment, and `tmtp` over the TMTP setting of the site (its values must be JSON's).
    Raises ServerFailed when it does not start within `timeout` seconds.
    """
    program = [sys.executable, str(manage or Path(settings.BASE_DIR) / "manage.py")]
    with tempfile.TemporaryDirectory(prefix="tmtp-testing-") as name:
        folder = Path(name)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        environment |= {} if database_url is None else {"DATABASE_URL": database_url}
        environment |= {} if var is None else {"MNM_VAR": str(var)}
        if tmtp is not None:
            environment |= _settings_over(tmtp, folder, environment)
        if migrate:
            _run([*program, "migrate", "--verbosity=0"], environment)
        options, context = (["--plain"], None) if plain else _certificate(folder, cert)
        command = [*program, "runtmtp", f"--bind={HOST}:{port}", *options]
        log = folder / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            yield Server((HOST, _port(process, log, timeout)), process, log, context)
        finally:
            _end(process)


def _settings_over(tmtp: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a settings module that is the site's own with some of TMTP replaced."""
    site = environment.get("DJANGO_SETTINGS_MODULE") or settings.SETTINGS_MODULE
    module = folder / "tmtp_testing_settings.py"
    module.write_text(
        f"import json\nimport {site}\nfrom {site} import *\n"
        f'TMTP = {{**getattr({site}, "TMTP", {{}}), **json.loads({json.dumps(dict(tmtp))!r})}}\n'
    )
    path = [str(folder), environment.get("PYTHONPATH", "")]
    return {"DJANGO_SETTINGS_MODULE": module.stem, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command of the site; raises ServerFailed with what it said when it fails."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise ServerFailed(done.stderr, done.returncode)


def _certificate(folder: Path, cert: str | Path | None) -> tuple[list[str], ssl.SSLContext]:
    """Options for a server with the site's certificate or one of its own; and what its clients trust: that alone."""
    if cert:
        return [], ssl.create_default_context(cafile=str(cert))
    made, key = folder / "cert.pem", folder / "key.pem"
    make_self_signed(made, key, [HOST, "localhost"])
    return [f"--cert={made}", f"--key={key}"], ssl.create_default_context(cafile=str(made))


def _port(process: subprocess.Popen[str], log: Path, timeout: float) -> int:
    """The port the server says it listens on."""
    assert process.stdout
    watchdog = threading.Timer(timeout, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            found = re.search(rf"{re.escape(HOST)}:(\d+)", line)
            if found:
                return int(found[1])
        code = process.wait(timeout)
        raise ServerFailed(log.read_text("utf-8", "replace"), code)
    finally:
        watchdog.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    """Stop the process, if it still runs; by force when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()
