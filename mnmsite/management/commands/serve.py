"""`manage.py serve`: run the TMTP service, the website and the worker until Ctrl-C."""

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
from django.core.management.base import CommandError
from django.db import Error, connection
from honcho import manager, process
from honcho.command import main as honcho
from honcho.compat import ProcessManager

from mnmsite import environment as env
from tmtp.conf import format_address, parse_address
from tmtp.management.base import TmtpCommand
from tmtp.server.certificate import is_self_signed
from tmtp.server.sockets import bound_socket

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)

SUMMARY = """
  TMTP service   {tmtp}
  website        {site}
  first admin    {python} manage.py createsuperuser
  stop           Ctrl-C
"""


class Command(TmtpCommand):
    """Migrate, print the addresses, then run the Procfile. Exit with 0 after SIGINT or SIGTERM."""

    help = "Migrates the database, then runs the TMTP service, the website and the worker (the Procfile) until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--procfile", default=str(settings.BASE_DIR / "Procfile"), help="what to run")

    def handle(self, *args: Any, procfile: str, **options: Any) -> None:
        """Run until a signal arrives or one of the processes ends."""
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
    """Raise CommandError, naming the variable, unless all these addresses are free to listen on."""
    with contextlib.ExitStack() as taken:
        for variable, address in addresses.items():
            try:
                # without listen(), SO_REUSEADDR would let two of these sockets share an address
                taken.enter_context(bound_socket(*parse_address(address))).listen()
            except OSError as error:
                reason = error.strerror or error
                raise CommandError(
                    f"Cannot listen on {address}: {reason}. Set {variable} to another address."
                ) from error


def migrate() -> None:
    """Run `migrate`. Raise CommandError if the database cannot be used."""
    try:
        call_command("migrate", verbosity=0)
    except Error as error:
        raise CommandError(f"The database cannot be used: {str(error).strip().partition(chr(10))[0]}") from error
    finally:
        connection.close()


def summary(bind: str, http: str) -> str:
    """Return the text with the addresses, as TMTP clients and browsers take them."""
    mark = "=" if is_self_signed(settings.TMTP["CERT"]) else ""
    python = os.path.relpath(sys.executable)
    return SUMMARY.format(tmtp=mark + dialable(bind), site=f"http://{dialable(http)}/", python=python).strip("\n")


def dialable(address: str) -> str:
    """Return HOST:PORT for clients, with this machine's name if the service listens on all interfaces."""
    host, port = parse_address(address)
    return format_address(socket.gethostname() if host in env.ALL_INTERFACES else host, port)


class AskTheParent(ProcessManager):  # type: ignore[misc]
    """Signal the process alone, not its children: qcluster hangs if they end before it does."""

    def terminate(self, pid: int) -> None:
        """Send SIGTERM to one process, which ends its own children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class Group(process.Popen):  # type: ignore[misc]
    """A process in its own process group. When the process ends, the rest of its group is killed.

    Otherwise orphans, such as those of a killed qcluster, would keep its output open, and honcho waits for its end.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        threading.Thread(target=self._take_along, daemon=True).start()

    def _take_along(self) -> None:
        self.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
            os.killpg(self.pid, signal.SIGKILL)


class ProcessWithGroup(process.Process):  # type: ignore[misc]
    """A honcho process that starts a `Group`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._child_ctor = Group


def run(procfile: str) -> int:
    """Run the Procfile and return honcho's exit code."""
    manager.ProcessManager, manager.Process = AskTheParent, ProcessWithGroup
    try:
        # do not read a .env file: the other commands do not read one either
        honcho(["start", "--env", os.devnull, "--app-root", str(settings.BASE_DIR), "--procfile", procfile])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@contextlib.contextmanager
def own_process_group() -> Iterator[None]:
    """Receive Ctrl-C of a terminal in this process alone. If `make` received it too, it would report a failure.

    Ctrl-Z is ignored: it would stop this process alone, while `make` waits for it and the shell for `make`.
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
