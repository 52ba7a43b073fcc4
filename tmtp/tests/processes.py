"""Processes that tests start: how they end with the tests, and one that runs code of a site."""

from __future__ import annotations

import asyncio
import ctypes
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds: on a busy computer, a process takes long to start or to stop


PORTS = range(10_000, 32_768)  # below those that systems give to whoever asks for any
_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a free loopback port for a server that starts later, or starts again.

    Until this process ends, no other call returns it: several runs of the tests may go on at once. The UDP port of the
    same number, which nobody needs, tells them.
    """
    while True:
        port = random.choice(PORTS)
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
        else:
            _reserved.append(reservation)
            return port


def wait_for_port(port: int, said: Callable[[], str]) -> None:
    """Wait until a server listens at a loopback port. Fail with the result of `said` if none does."""
    last = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < last, f"nobody listens: {said()}"
            time.sleep(0.05)


async def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> float:
    """Poll until a condition holds, and return the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout, "it did not come true"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def in_time(seconds: float, attempt: Callable[[], Awaitable[object]], tries: int = 5) -> None:
    """Await attempts until one takes less than so many seconds. Fail if all take longer.

    A busy computer is late now and then. What is wrong is late every time.
    """
    taken: list[float] = []
    while not taken or taken[-1] >= seconds:
        assert len(taken) < tries, f"it takes {taken} seconds"
        begun = time.monotonic()
        await attempt()
        taken.append(time.monotonic() - begun)


def die_with_parent(then: Callable[[], None] | None = None) -> Callable[[], None]:
    """Return what a child runs first, so that it is killed together with this process."""
    if then is None:
        return _die_with_parent

    def prepare() -> None:
        _die_with_parent()
        then()

    return prepare


_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _prctl:
        _prctl(1, int(signal.SIGKILL))


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
