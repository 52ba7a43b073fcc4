"""Servers that are forked from one process, which has loaded everything: a new one is there in a tenth of a second.

    with forking(site) as fork, fork.serve() as server:
        server.kill()
        await server.restart()

They are servers like those of `tmtp.tests.servers`, real processes that run `runtmtp`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tmtp.tests.processes import PATIENCE, ROOT, die_with_parent, free_port
from tmtp.tests.servers import Installation, Server

READY = "TMTP service"


class Fork:
    """The process that servers are forked from."""

    def __init__(self, site: Installation, env: dict[str, str]) -> None:
        self.site = site
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tmtp.tests.faults.forking"],
            cwd=ROOT,
            env={**site.env, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(site.folder / "fork.log").open("ab"),
            preexec_fn=die_with_parent(),
        )
        assert self._answer() == "ready"

    def new(self, port: int, log: Path, mutant: str, processes: int) -> int:
        """Start a server, and return its process id."""
        assert self._process.stdin
        order = {"port": port, "log": str(log), "mutant": mutant, "processes": processes}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._answer())

    @contextlib.contextmanager
    def serve(self, mutant: str = "", processes: int = 0) -> Iterator[ForkedServer]:
        """Run a server, which is killed at the end of the block, with so many processes of links besides, if any."""
        server = ForkedServer(self, mutant, processes)
        server.start()
        try:
            yield server
        finally:
            server.kill()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().decode().strip()


@contextlib.contextmanager
def forking(site: Installation, **env: str) -> Iterator[Fork]:
    """Return a process to fork servers of this site from."""
    fork = Fork(site, env)
    try:
        yield fork
    finally:
        fork.close()


class Forked:
    """A process of which another one is the parent, with what `Server` needs of Popen."""

    stdout = contextlib.nullcontext()

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._ended, number)

    def poll(self) -> int | None:
        """Return 0 if the process has ended."""
        return 0 if select.select([self._ended], [], [], 0)[0] else None

    def wait(self, timeout: float) -> int:
        """Wait for its end."""
        ended, _, _ = select.select([self._ended], [], [], timeout)
        assert ended, "it does not end"
        os.close(self._ended)
        return 0


class ForkedServer(Server):
    """A server that was forked."""

    process: Any

    def __init__(self, fork: Fork, mutant: str = "", processes: int = 0) -> None:
        super().__init__(fork.site, free_port())
        self._fork = fork
        self._mutant = mutant
        self._processes = processes
        self._log_seen = 0

    def _spawn(self) -> None:
        self._log_seen = len(self.log) if self.log_path.exists() else 0
        self.process = Forked(self._fork.new(self.port, self.log_path, self._mutant, self._processes))

    def _wait(self) -> None:
        last = time.monotonic() + PATIENCE
        while not self.log_path.exists() or READY not in self.log[self._log_seen :]:
            assert time.monotonic() < last, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.005)


def main() -> None:
    """Load everything, then fork a server for each line of the input."""
    import django

    django.setup()
    from channels.routing import get_default_application
    from django.core.management import CommandError, call_command

    import tmtp.checks
    import tmtp.management.commands.runtmtp  # noqa: F401
    from tmtp.tests.faults import mutants

    get_default_application()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        die_with_parent()()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        status = 1
        try:
            mutants.MUTANTS[order["mutant"]]()
            more = {"processes": order["processes"]} if order["processes"] else {}
            call_command("runtmtp", bind=f"127.0.0.1:{order['port']}", **more)
            status = 0
        except CommandError as error:
            print(error)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)


if __name__ == "__main__":
    main()
