"""A running server is replaced by a new one, with new code and settings, which takes its sockets (`runtmtp --reload`).

The server that runs starts the same command again and passes its sockets on. It goes on serving until the new one says
that it serves. Then it accepts no more connections, and drains. If the new one does not start, nothing has changed.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ..conf import conf
from . import systemd
from .predecessor import READY, VARIABLE
from .serving import Setup

log = logging.getLogger("tmtp")
START_TIMEOUT = 60.0  # seconds
DONE, FAILED = b"replaced", b"failed"
_folder = Path.cwd()  # a site may change it later


class Loop(Protocol):
    """An event loop, as far as it is needed here."""

    def watch(self, sock: socket.socket | int, act: Callable[[], None]) -> None:
        """Call `act` when a socket can be read."""

    def unwatch(self, sock: socket.socket | int) -> None:
        """Stop that."""

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` later."""


class Succession:
    """Starts a successor when asked to. `replaced` is called when it serves.

    Others ask by connecting to a socket in the spool's folder, and get the answer there.
    """

    def __init__(self, setup: Setup, loop: Loop, replaced: Callable[[], None]) -> None:
        self._setup = setup
        self._loop = loop
        self._replaced = replaced
        self._path = socket_path(setup.sockets[0].getsockname()[1])
        self._asking: list[socket.socket] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._listening: socket.socket | None = None
        self._over = False

    def listen(self) -> None:
        """Let others ask for a successor."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            listening.bind(str(self._path))
            self._path.chmod(0o600)
            listening.listen()
            listening.setblocking(False)
        except OSError as error:  # the path may be too long, for example
            log.warning("`runtmtp --reload` will not find this server (%s: %s); SIGHUP works", self._path, error)
            listening.close()
            return
        self._listening = listening
        self._mine = self._path.stat().st_ino
        self._loop.watch(listening, self._asked)

    def _asked(self) -> None:
        assert self._listening
        with suppress(OSError):
            connection, _ = self._listening.accept()
            self._asking.append(connection)
            self.begin()

    def begin(self) -> None:
        """Start a successor, unless one is starting."""
        if self._process or self._over:
            return
        log.warning("a new server is started, which takes the place of this one")
        systemd.reloading()
        ours, theirs = os.pipe()
        sockets = [sock.fileno() for sock in self._setup.sockets]
        side = [self._setup.side.fileno()] if self._setup.side else []
        given = {"sockets": sockets, "side": side, "activated": self._setup.predecessor.activated, "ready": theirs}
        command = [sys.executable, *sys.orig_argv[1:]]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=_folder,
                env={**os.environ, VARIABLE: json.dumps(given)},
                pass_fds=[*sockets, *side, theirs],
            )
        except OSError as error:
            os.close(ours)
            self._fail(str(error))
            return
        finally:
            os.close(theirs)
        process = self._process
        self._loop.watch(ours, lambda: self._told(ours))
        self._loop.later(START_TIMEOUT, lambda: self._give_up(process))

    def _told(self, pipe: int) -> None:
        """Read what the successor says, which is that it serves, or nothing if it has ended."""
        assert self._process
        octet = os.read(pipe, 1)
        self._loop.unwatch(pipe)
        os.close(pipe)
        if self._over:
            self._process.wait()
            return
        if octet != READY:
            self._fail(f"exit status {self._process.wait()}")
            return
        process, self._process = self._process, None
        log.warning("process %s has taken the place of this one, which drains", process.pid)
        systemd.notify(f"MAINPID={process.pid}", "READY=1")
        self._answer(DONE)
        self.end()
        self._replaced()

    def _fail(self, why: str) -> None:
        log.error("the new server does not start (%s); this one goes on", why)
        systemd.notify("READY=1")
        self._process = None
        self._answer(FAILED)

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        if process is self._process and not self._over:
            log.error("the new server does not serve after %g seconds, and is killed", START_TIMEOUT)
            process.kill()

    def _answer(self, answer: bytes) -> None:
        for connection in self._asking:
            with suppress(OSError):
                connection.sendall(answer)
            connection.close()
        self._asking.clear()

    def end(self) -> None:
        """Start no successor any more. One that is starting is killed."""
        if self._process:
            self._process.kill()
        self._over = True
        if self._listening:
            self._loop.unwatch(self._listening)
            self._listening.close()
            self._listening = None
            with suppress(OSError):
                if self._path.stat().st_ino == self._mine:  # not the successor's
                    self._path.unlink()


def after_hang_up(begin: Callable[[], None], stop: Callable[[], None]) -> None:
    """Act on SIGHUP: begin a succession, or stop if the terminal is gone, which sends this signal, too."""
    (stop if _had_terminal and not _has_terminal() else begin)()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


_had_terminal = _has_terminal()


def socket_path(port: int) -> Path:
    """Return the path of the socket where the server of this host at a port can be asked."""
    return conf.spool_dir / f"runtmtp-{socket.gethostname()}-{port}.socket"


def ask_for_successor(port: int) -> bool:
    """Ask the server at a port to be replaced, and wait. Return whether it was. Raise OSError if none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(START_TIMEOUT + 10)
        sock.connect(str(socket_path(port)))
        answer = b""
        while octets := sock.recv(100):
            answer += octets
    if answer not in (DONE, FAILED):
        raise ConnectionResetError("the server has ended")
    return answer == DONE
