"""Tools for tests: devices for members, a client over sockets, and a context manager that runs a real server.

    from tmtp.testing import running_server

    with running_server(migrate=True) as server, server.client() as ann:
        ann.greet()
        ann.register("laptop", "ann of rome")
        ack = ann.ask({"op": 7, "id": "1", "for": []}, b"a note for my other devices")
        assert ack.header["msgid"]

All calls block, and none waits longer than the client's `timeout`. The server is `manage.py runtmtp` in a process of
its own, as in production. It listens on a free port of the loopback interface, with a self-signed certificate that its
clients check.
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
from typing import TYPE_CHECKING, Any

import google_crc32c
from django.conf import settings
from django.db import transaction

from .server.certificate import make_self_signed

if TYPE_CHECKING:
    from .models import Node

__all__ = ["Client", "Closed", "Frame", "Server", "ServerFailed", "add_device", "frame", "headsum", "running_server"]

READ_OCTETS = 64 * 1024
HOST = "127.0.0.1"
Header = dict[str, Any]


def add_device(account: Any, label: str = "laptop", alias: str = "") -> Node:
    """Give a member of the website a device, as if they had registered one, and return its node.

    No message waits for it yet, except those that waited for the member's first device. `alias` becomes an alias of
    the member. Raise Refused if the alias is taken, or if the member has 100 devices.
    """
    # A program that only uses Client runs without Django's apps, so the models are not imported above.
    from .services.people import devices, linking, names

    with transaction.atomic():
        user = linking.user_of(account)
        if alias:
            names.reserve(alias, "newalias", user=user)
        node, _ = devices.make_node(user, label)
    return node


class Closed(Exception):
    """The server has closed the link. `unread` holds the beginning of an incomplete message; it is usually empty."""

    def __init__(self, unread: bytes = b"") -> None:
        super().__init__(f"the server has closed the link{f' in the middle of {unread!r}' if unread else ''}")
        self.unread = unread


class ServerFailed(Exception):
    """The server did not start. The text is its standard error; `code` is its exit code, -N if signal N killed it."""

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
        """The name of the operation, such as "delivery" or "ack"."""
        return str(self.header.get("op", ""))

    @property
    def id(self) -> str:
        """The id of the message, or of the request that it answers."""
        return str(self.header.get("id", ""))

    @property
    def is_queued(self) -> bool:
        """Return whether the server keeps it until it is acknowledged (op 10)."""
        return "from" in self.header and "id" in self.header


def frame(header: Mapping[str, Any], data: bytes = b"") -> bytes:
    """Return a request as octets. `datalen` is added when there is data and the header does not have it."""
    members = dict(header)
    if data and not any(key.casefold() == "datalen" for key in members):
        members["datalen"] = len(data)
    octets = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return b"%04x%b%b" % (len(octets), octets, data)


def headsum(octets: bytes) -> int:
    """Return the correct `headsum` of a message, computed from the octets of its header (tmtp.md section 2)."""
    bare, found = re.subn(rb',"headsum":\d+|"headsum":\d+,', b"", octets, count=1)
    assert found, "the header has no headsum"
    return int(google_crc32c.value(b"%04x%b" % (len(bare), bare)))


@dataclass
class Client:
    """A link to a server. It is without TLS when `tls` is None.

    Methods that read raise TimeoutError when nothing arrives for `timeout` seconds, and Closed at the end of the link.
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
        """Send a request. See `frame`."""
        self.send_octets(frame(header, data))

    def send_octets(self, octets: bytes) -> None:
        """Send octets unchanged. If the link has ended, the next read raises Closed."""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._socket.sendall(octets)

    def receive(self) -> Frame:
        """Return the next message."""
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
        """Return all messages until the server closes the link."""
        frames = []
        while True:
            try:
                frames.append(self.receive())
            except Closed as closed:
                if closed.unread:
                    raise
                return frames

    def close(self) -> None:
        """Close the socket without sending op 12."""
        self._socket.close()

    def _peek(self, octets: int) -> bytes:
        """Return the next octets and keep them in the buffer until the whole message is there."""
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
        """Send a request and return its ack. Messages that arrive before it are acknowledged and dropped."""
        self.send(header, data)
        wanted = next(value for key, value in header.items() if key.casefold() == "id")
        while True:
            message = self.receive()
            if message.op == "ack" and message.id == wanted:
                return message
            self.acknowledge(message)

    def next_queued(self, *ops: str) -> Frame:
        """Return the next queued message of one of these ops (default: any). It and all before it are acknowledged."""
        while True:
            message = self.receive()
            self.acknowledge(message)
            if message.is_queued and (not ops or message.op in ops):
                return message

    def greet(self) -> Header:
        """Send op 0 and return the header of `tmtprev`."""
        self.send({"op": 0, "id": "1"})
        return self.receive().header

    def register(self, label: str, alias: str = "_") -> Header:
        """Send op 1, after `greet`. Return the header of `registered`, and keep the uid and nodeid."""
        self.send({"op": 1, "newnode": label, "newalias": alias})
        header = self.receive().header
        if header["op"] == "registered":
            self.uid, self.nodeid = header["uid"], header["nodeid"]
            self.receive()
        return header

    def log_in(self, uid: str, nodeid: str) -> Header:
        """Send op 2, after `greet`. Return the header of `info`, or of the `quit` when the login failed."""
        self.send({"op": 2, "uid": uid, "node": nodeid})
        self.uid, self.nodeid = uid, nodeid
        return self.receive().header

    def acknowledge(self, message: Frame) -> None:
        """Send op 10 if the message is a queued one."""
        if message.is_queued:
            self.send({"op": 10, "id": message.id, "type": "ok"})

    def quit(self) -> list[Frame]:
        """Send op 12 and return the messages that arrive until the link ends."""
        self.send({"op": 12})
        return self.rest()


@dataclass
class Server:
    """A running `runtmtp`. `log` is the file of its standard error; `tls` is None when it runs without TLS."""

    address: tuple[str, int]
    process: subprocess.Popen[str]
    log: Path
    tls: ssl.SSLContext | None

    def client(self, timeout: float = 10) -> Client:
        """Return a new link to this server."""
        return Client(self.address, self.tls, timeout)

    def said(self) -> str:
        """Return what it has written to standard error so far."""
        return self.log.read_text("utf-8", "replace")

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 15) -> int:
        """Send it a signal, wait until it ends, and return its exit code, or -N when signal N killed it."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


@contextlib.contextmanager
def running_server(
    *,
    manage: str | Path | None = None,
    port: int = 0,
    plain: bool = False,
    processes: int = 1,
    cert: str | Path | None = None,
    migrate: bool = False,
    database_url: str | None = None,
    var: str | Path | None = None,
    tmtp: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Iterator[Server]:
    """Run `manage.py runtmtp` until the block ends. Yield the Server once it accepts links.

    `manage` is the site's manage.py (default: the one in BASE_DIR). `port` 0 means a free one. `plain` turns TLS off.
    `processes` is the number of processes for links.
    `cert` is the path in TMTP["CERT"], to use the site's own certificate instead of a temporary one. `migrate`
    migrates the database first. `database_url` and `var` become the environment variables DATABASE_URL and MNM_VAR.
    `env` updates the environment, and `tmtp` updates the site's TMTP setting; its values must be JSON values.
    Raise ServerFailed if the server does not start within `timeout` seconds.
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
        options += [] if processes == 1 else [f"--processes={processes}"]
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
    """Write a settings module that updates the site's TMTP, and return the environment variables that select it."""
    site = environment.get("DJANGO_SETTINGS_MODULE") or settings.SETTINGS_MODULE
    module = folder / "tmtp_testing_settings.py"
    module.write_text(
        f"import json\nimport {site}\nfrom {site} import *\n"
        f'TMTP = {{**getattr({site}, "TMTP", {{}}), **json.loads({json.dumps(dict(tmtp))!r})}}\n'
    )
    path = [str(folder), environment.get("PYTHONPATH", "")]
    return {"DJANGO_SETTINGS_MODULE": module.stem, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a command of the site. Raise ServerFailed with its standard error when it fails."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise ServerFailed(done.stderr, done.returncode)


def _certificate(folder: Path, cert: str | Path | None) -> tuple[list[str], ssl.SSLContext]:
    """Return options that select the server's certificate, and a TLS context for clients that trusts only it."""
    if cert:
        return [], ssl.create_default_context(cafile=str(cert))
    made, key = folder / "cert.pem", folder / "key.pem"
    make_self_signed(made, key, [HOST, "localhost"])
    return [f"--cert={made}", f"--key={key}"], ssl.create_default_context(cafile=str(made))


def _port(process: subprocess.Popen[str], log: Path, timeout: float) -> int:
    """Return the port that the server prints once it listens."""
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
    """Terminate the process if it still runs, and kill it if that does not end it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()
