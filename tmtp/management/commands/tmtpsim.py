"""`manage.py tmtpsim`: simulate members who use the service, and check everything they receive."""

from __future__ import annotations

import contextlib
import ssl
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from ...conf import conf
from ...simulation.link import Address
from ...simulation.report import Memory, Report
from ...simulation.run import Plan, simulate
from ...simulation.temporary_server import memory, temporary_server
from ...simulation.world import CannotBegin
from ...testing import Server, ServerFailed
from ..base import TmtpCommand

MEMBERS = (2, 1000)
SLOWEST = 0.5  # so that pauses are shorter than IDLE_TIMEOUT


def number_of_members(text: str) -> int:
    """Parse a number from 2 to 1000."""
    if not text.isdecimal() or not MEMBERS[0] <= int(text) <= MEMBERS[1]:
        raise ArgumentTypeError(_("%(text)s is not a number from %(least)d to %(most)d") % _range(text))
    return int(text)


def _range(text: str) -> dict[str, Any]:
    return {"text": text, "least": MEMBERS[0], "most": MEMBERS[1]}


def at_least(least: float, text: str) -> float:
    """Parse a finite number that is not below `least`."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not number >= least or number == float("inf"):
        raise ArgumentTypeError(_("%(text)s is not a number from %(least)s") % {"text": text, "least": least})
    return number


class Command(TmtpCommand):
    """Run a server with a temporary database, or use a running one. Exit with 1 if anything was lost or altered."""

    requires_system_checks: list[str] = []  # the server runs them
    help = "Simulates members who log in, post and log out, and checks that all arrives, once and unaltered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("members", metavar="N", type=number_of_members, help="how many members: 2 to 1000")
        parser.add_argument("--speedup", metavar="F", type=partial(at_least, SLOWEST), default=1.0, help="pause less")
        parser.add_argument("--duration", metavar="S", type=partial(at_least, 0), help="end after so many seconds")
        parser.add_argument("--cycles", metavar="C", type=int, help="end when each has done so many cycles")
        parser.add_argument("--server", metavar="HOST:PORT", help="one that runs; its limits have to be lifted")
        parser.add_argument("--cert", help="the certificate to trust with --server (TMTP['CERT'], else the system's)")

    def handle(self, *args: Any, members: int, **options: Any) -> None:
        """Run the simulation and print the summary."""
        try:
            with self._server(options["server"], options["cert"]) as (address, tls, used, server):
                report, seconds = simulate(
                    Plan(
                        address,
                        tls,
                        members,
                        cast(TextIO, self.stdout._out),
                        used,
                        options["speedup"],
                        options["duration"],
                        options["cycles"],
                    )
                )
                said = errors_in(server.said()) if server else ""
        except CannotBegin as error:
            raise CommandError(_("The server did not take the members: %s") % error) from error
        except ServerFailed as error:
            raise CommandError(_("The server did not start: %s") % str(error).strip().rsplit("\n", 1)[-1]) from error
        self._conclude(report, seconds, said)

    @contextlib.contextmanager
    def _server(
        self, where: str | None, cert: str | None
    ) -> Iterator[tuple[Address, ssl.SSLContext | None, Memory, Server | None]]:
        """Yield the server's address and TLS context, a function for its memory, and the Server if it is temporary."""
        if where:
            try:
                address = conf.address(where)
            except ImproperlyConfigured as error:
                raise CommandError(str(error)) from error
            yield address, trust(cert or conf.CERT), lambda: None, None
            return
        with temporary_server() as server:
            yield server.address, server.tls, partial(memory, server.process.pid), server

    def _conclude(self, report: Report, seconds: float, said: str) -> None:
        self.stdout.write(report.summary(seconds, said))
        ledger = report.run.world.ledger
        if ledger.due or ledger.faults:
            self.stdout.write(self.style.ERROR(_("not all is well")))
            raise SystemExit(1)
        self.stdout.write(self.style.SUCCESS(_("all is well: nothing lost, altered or doubled")))


def trust(cert: Any) -> ssl.SSLContext:
    """Return a TLS context that trusts this certificate or, if there is no such file, the system's authorities."""
    return ssl.create_default_context(cafile=str(cert) if cert and Path(cert).exists() else None)


def errors_in(log: str) -> str:
    """Return the first ten lines of a server's log that report errors; empty if there are none."""
    lines = [line for line in log.splitlines() if " ERROR " in line or line.startswith("Traceback")]
    return "\n".join([_("the server's log has:"), *lines[:10]]) if lines else ""
