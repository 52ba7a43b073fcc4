"""`manage.py tmtpsim`: verify a server, then simulate members who use it, and check everything they receive."""

from __future__ import annotations

import ssl
from argparse import ArgumentParser, ArgumentTypeError
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from ...client.link import Address
from ...conf import conf
from ...simulation.report import Memory, Report
from ...simulation.run import Plan, simulate
from ...simulation.temporary_server import memory, temporary_site
from ...simulation.verification.verify import verify_server, verify_site
from ...simulation.world import CannotBegin
from ...testing import ServerFailed
from ..base import TmtpCommand

MEMBERS = (2, 1000)
INTERRUPTED = 130  # the exit status after Ctrl-C
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
    """Run servers with a temporary database, or use a running one. Exit with 1 if an answer or a message is wrong."""

    requires_system_checks: list[str] = []  # the server runs them
    help = (
        "Verifies the answers of a server, then simulates members who log in, post and log out, and checks that all"
        " arrives, once and unaltered."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "members", metavar="N", nargs="?", type=number_of_members, help="how many members: 2 to 1000"
        )
        parser.add_argument("--verify-only", action="store_true", help="only verify the answers; without N")
        parser.add_argument("--speedup", metavar="F", type=partial(at_least, SLOWEST), default=1.0, help="pause less")
        parser.add_argument("--duration", metavar="S", type=partial(at_least, 0), help="end after so many seconds")
        parser.add_argument("--cycles", metavar="C", type=int, help="end when each has done so many cycles")
        parser.add_argument("--server", metavar="HOST:PORT", help="one that runs; its limits have to be lifted")
        parser.add_argument("--cert", help="the certificate to trust with --server (TMTP['CERT'], else the system's)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, run the simulation and print the summary."""
        if (options["members"] is None) != options["verify_only"]:
            raise CommandError(_("Give either the number of members or --verify-only."))
        try:
            if options["server"]:
                self._use_running(options)
            else:
                self._use_temporary(options)
        except CannotBegin as error:
            raise CommandError(_("The server did not accept the members: %s") % error) from error
        except ServerFailed as error:
            raise CommandError(_("The server did not start: %s") % str(error).strip().rsplit("\n", 1)[-1]) from error
        except KeyboardInterrupt:  # the simulation itself ends in order
            raise SystemExit(INTERRUPTED) from None

    def _use_running(self, options: dict[str, Any]) -> None:
        try:
            address = conf.address(options["server"])
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        tls = trust(options["cert"])
        agrees = verify_server(address, tls, self.stdout.write)
        if options["verify_only"]:
            self._exit(agrees)
        else:
            report, seconds = simulate(self._plan(options, address, tls, lambda: None))
            self._conclude(report, seconds, "", agrees)

    def _use_temporary(self, options: dict[str, Any]) -> None:
        with temporary_site() as site:
            agrees = verify_site(site, self.stdout.write)
            if options["verify_only"]:
                self._exit(agrees)
                return
            with site.server() as server:
                used = partial(memory, server.process.pid)
                report, seconds = simulate(self._plan(options, server.address, server.tls, used))
                said = errors_in(server.said())
        self._conclude(report, seconds, said, agrees)

    def _plan(self, options: dict[str, Any], address: Address, tls: ssl.SSLContext | None, used: Memory) -> Plan:
        out = cast(TextIO, self.stdout._out)
        limits = options["speedup"], options["duration"], options["cycles"]
        return Plan(address, tls, options["members"], out, used, *limits)

    def _conclude(self, report: Report, seconds: float, said: str, agrees: bool = True) -> None:
        self.stdout.write(report.summary(seconds, said))
        ledger = report.run.world.ledger
        if ledger.due or ledger.faults:
            self.stdout.write(self.style.ERROR(_("errors found")))
            raise SystemExit(1)
        self.stdout.write(self.style.SUCCESS(_("no problems: no message lost, altered or delivered twice")))
        self._exit(agrees)

    def _exit(self, agrees: bool) -> None:
        """Exit with 1 if answers of the server differ."""
        if not agrees:
            self.stdout.write(self.style.ERROR(_("the server’s answers differ; see above")))
            raise SystemExit(1)


def trust(given: str | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the given certificate, or the site's own, or else the system's authorities.

    Raise CommandError if it is no certificate.
    """
    cert = given or (conf.CERT if conf.CERT and Path(conf.CERT).exists() else None)
    try:
        return ssl.create_default_context(cafile=cert)
    except OSError as error:
        reason = error.strerror or error
        raise CommandError(_("%(cert)s is not a certificate: %(error)s") % {"cert": cert, "error": reason}) from error


def errors_in(log: str) -> str:
    """Return the first ten lines of a server's log that report errors; empty if there are none."""
    lines = [line for line in log.splitlines() if " ERROR " in line or line.startswith("Traceback")]
    return "\n".join([_("the server's log has:"), *lines[:10]]) if lines else ""
