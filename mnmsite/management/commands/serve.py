"""`manage.py serve`: the TMTP service, the website and the worker under one command, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection
from honcho import manager, process
from honcho.command import main as honcho
from honcho.compat import ProcessManager

from mnmsite import environment as env
from tmtp.server.certificate import is_self_signed
from tmtp.server.listener import bound_socket

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)

SUMMARY = """
  TMTP service   {tmtp}
  website        {site}
  first admin    {python} manage.py createsuperuser
  stop           Ctrl-C
"""


class Command(BaseCommand):
    """Migrate, print where everything is, run the Procfile. Ends with 0 when it was stopped by a signal."""

    help = "Migrates the database, then runs the TMTP service, the website and the worker (the Procfile) until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Offer another Procfile."""
        parser.add_argument("--procfile", default=str(settings.BASE_DIR / "Procfile"), help="what to run")

    def handle(self, *args: Any, procfile: str, **options: Any) -> None:
        """Run until a signal comes or one of the processes ends."""
        http = env.http()
        check_addresses(TMTP_BIND=settings.TMTP["BIND"], MNM_HTTP=http)
        migrate()
        self.stdout.write(summary(settings.TMTP["BIND"], http), ending="\n\n")
        self.stdout.flush()
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        os.environ["PYTHONUNBUFFERED"] = "1"
        with own_process_group():
            code = run(procfile)
        if code not in STOPPED:
            sys.exit(code)


def check_addresses(**addresses: str) -> None:
    """Raise CommandError, which names the variable, when one cannot listen at all of these addresses."""
    with contextlib.ExitStack() as taken:
        for variable, address in addresses.items():
            host, _, port = address.rpartition(":")
            try:
                # it listens, or SO_REUSEADDR would let two of ours have the same address
                taken.enter_context(bound_socket(host.strip("[]"), int(port))).listen()
            except OSError as error:
                reason = error.strerror or error
                raise CommandError(
                    f"Cannot listen on {address}: {reason}. Set {variable} to another address."
                ) from error


def migrate() -> None:
    """Make the tables that are missing. Raises CommandError when the database cannot be used."""
    try:
        call_command("migrate", verbosity=0)
    except Error as error:
        raise CommandError(f"The database cannot be used: {str(error).strip().partition(chr(10))[0]}") from error
    finally:
        connection.close()


def summary(bind: str, http: str) -> str:
    """Say where things are, in the forms that clients and browsers take."""
    mark = "=" if is_self_signed(settings.TMTP["CERT"]) else ""
    python = os.path.relpath(sys.executable)
    return SUMMARY.format(tmtp=mark + dialable(bind), site=f"http://{dialable(http)}/", python=python).strip("\n")


def dialable(address: str) -> str:
    """Return HOST:PORT with this machine's name in place of “every interface”."""
    host, _, port = address.rpartition(":")
    return f"{socket.gethostname() if host in env.WILDCARDS else host}:{port}"


class AskTheParent(ProcessManager):  # type: ignore[misc]
    """Stops a process by a signal to it, not to all it has started: qcluster hangs when its own children are gone."""

    def terminate(self, pid: int) -> None:
        """Ask one process to end; it ends its children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class Group(process.Popen):  # type: ignore[misc]
    """A process in a group of its own (honcho's do that), the rest of which is killed when the process has ended.

    Orphans, such as those of a qcluster that was killed, would hold its output open, for whose end honcho waits.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        threading.Thread(target=self._take_along, daemon=True).start()

    def _take_along(self) -> None:
        self.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
            os.killpg(self.pid, signal.SIGKILL)


class ProcessWithGroup(process.Process):  # type: ignore[misc]
    """Starts its process as a Group."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._child_ctor = Group


def run(procfile: str) -> int:
    """Run the Procfile and return honcho's exit code."""
    manager.ProcessManager, manager.Process = AskTheParent, ProcessWithGroup
    try:
        # no .env: the other commands do not read one either
        honcho(["start", "--env", os.devnull, "--app-root", str(settings.BASE_DIR), "--procfile", procfile])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@contextlib.contextmanager
def own_process_group() -> Iterator[None]:
    """On a terminal, take Ctrl-C for this process alone: `make`, which started it, would call it a failure.

    Ctrl-Z is for nobody then: `make` would go on waiting, and the shell would not be back.
    """
    try:
        before = os.tcgetpgrp(0)
    except OSError:  # no terminal
        yield
        return
    if before != os.getpgrp() or before == os.getpid():
        yield
        return
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or giving the terminal back would stop us
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    try:
        yield
    finally:
        os.tcsetpgrp(0, before)
