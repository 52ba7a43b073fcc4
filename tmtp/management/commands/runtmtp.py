"""`manage.py runtmtp`: serve TMTP."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from channels.routing import get_default_application
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from ...checks.site import has_route
from ...conf import conf
from ...engine.clock import ClockFailed, compare_with_ntp
from ...processes.children import serve_alone
from ...processes.predecessor import Predecessor
from ...processes.serving import Setup, run, tune_memory
from ...processes.succession import ask_for_successor
from ...processes.supervisor import Supervisor
from ...server.context import Certificate
from ...server.sockets import bound_sockets, extended
from ...server.tcp import Application
from ...store.transactions import Unavailable
from ..base import TmtpCommand

PROCESSES_MAX = 256


class Command(TmtpCommand):
    """Serve TMTP over TLS until SIGINT or SIGTERM."""

    help = "Serves TMTP: members' devices connect here."
    # Other checks would load the website's views, which this process does not serve: 17 MB or more.
    requires_system_checks = ("tmtp",)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", metavar="HOST:PORT", help="where to listen (TMTP['BIND'])")
        parser.add_argument("--cert", help="certificate file, PEM (TMTP['CERT'])")
        parser.add_argument("--key", help="its private key file, PEM (TMTP['KEY'])")
        parser.add_argument(
            "--processes",
            metavar="N",
            type=processes,
            default=1,
            help="how many processes serve links, besides one with the store; “auto”: as many as there are cores",
        )
        parser.add_argument(
            "--reload", action="store_true", help="have a new server take the place of the one that runs, and end"
        )
        parser.add_argument("--plain", action="store_true", help="without TLS; on loopback only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the settings, files and database, then serve. Raise CommandError if anything is wrong."""
        try:
            host, port = conf.address(options["bind"])
            if options["reload"]:
                self._reload(port)
                return
            predecessor = Predecessor()
            check_migrations()
            certificate = None if options["plain"] else self._certificate(options["cert"], options["key"])
            if options["plain"]:
                check_loopback(host)
            application = site_application()
            compare_with_ntp()
            sockets = self._sockets(host, port, options["processes"], predecessor.sockets_at(host, port))
            if options["plain"]:
                check_loopback(sockets[0].getsockname()[0])  # systemd may have opened it elsewhere
            side = self._side_socket(predecessor)
        except (ClockFailed, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        self._run(Setup(application, sockets, certificate, side, predecessor), options["processes"])

    def _reload(self, port: int) -> None:
        try:
            done = ask_for_successor(port)
        except OSError as error:
            raise CommandError(
                _("No server of this site at port %(port)s answers on this host: %(error)s")
                % {"port": port, "error": error}
            ) from error
        if not done:
            raise CommandError(_("The new server did not start; see its log. The running server continues."))
        self.stdout.write(_("A new server has replaced the running one, which is draining."))

    def _run(self, setup: Setup, count: int) -> None:
        """Serve in this process, or in several."""
        say = partial(self._say, setup, count)
        tune_memory()
        try:
            done = run(serve_alone(setup, say)) if count == 1 else Supervisor(setup, count, say).run()
        except Unavailable as error:
            raise CommandError(_("The database cannot be used: %s") % error) from error
        if not done:
            raise CommandError(_("The service failed; see its log. Start it again: no acknowledged message is lost."))
        self._print(_("stopped"))

    def _certificate(self, cert: str | None, key: str | None) -> Certificate:
        cert, key = cert or conf.CERT, key or conf.KEY
        if not cert or not key:
            raise CommandError(
                _(
                    "No certificate: give --cert and --key, or TMTP['CERT'] and TMTP['KEY'];"
                    " `manage.py tmtpcert` makes a self-signed one."
                )
            )
        for file in (cert, key):
            try:
                Path(file).read_bytes()
            except OSError as error:
                raise CommandError(
                    _("Cannot read %(file)s: %(error)s") % {"file": file, "error": error.strerror}
                ) from error
        try:
            return Certificate(Path(cert), Path(key))
        except (OSError, ValueError) as error:
            raise CommandError(
                _("%(cert)s and %(key)s are not a certificate and its key: %(error)s")
                % {"cert": cert, "key": key, "error": error}
            ) from error

    def _side_socket(self, predecessor: Predecessor) -> socket.socket | None:
        if not conf.METRICS:
            return None
        host, port = conf.address(conf.METRICS)
        return self._sockets(host, port, 1, predecessor.side_at(host, port))[0]

    def _sockets(self, host: str, port: int, count: int, given: Sequence[socket.socket]) -> list[socket.socket]:
        """Return the sockets that were given, or new ones."""
        try:
            return extended(given, count) if given else bound_sockets(host, port, count)
        except OSError as error:
            reason = error.strerror or str(error)
            raise CommandError(
                _("Cannot listen on %(host)s:%(port)s: %(reason)s") % {"host": host, "port": port, "reason": reason}
            ) from error

    def _say(self, setup: Setup, count: int) -> None:
        how = _("with TLS") if setup.certificate else _("without TLS")
        line = _("TMTP service “%(name)s” on %(address)s, %(how)s, database %(vendor)s") % {
            "name": conf.SITE_NAME,
            "address": setup.address,
            "how": how,
            "vendor": connection.vendor,
        }
        if count > 1:
            line += _(", %(count)s processes for links and one for the store") % {"count": count}
        setup.predecessor.tell_ready()
        self._print(line)

    def _print(self, line: str) -> None:
        """Print a line at once, unless nobody reads it any more."""
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes there once more at its end


def processes(argument: str) -> int:
    """Parse the number of processes. Raise ArgumentTypeError."""
    if argument == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not argument.isascii() or not argument.isdigit() or not 1 <= int(argument) <= PROCESSES_MAX:
        raise ArgumentTypeError(_("give a number from 1 to %(most)s, or “auto”") % {"most": PROCESSES_MAX})
    return int(argument)


def check_migrations() -> None:
    """Raise CommandError if the database cannot be reached or migrations are missing."""
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise CommandError(_("The database cannot be used: %s") % str(error).strip().split("\n")[0]) from error
    finally:
        connection.close()
    missing = sorted({migration.app_label for migration, _backwards in plan})
    if missing:
        raise CommandError(_("Migrations are missing (%s): run `manage.py migrate` first.") % ", ".join(missing))


def check_loopback(host: str) -> None:
    """Raise CommandError unless `host` is loopback, since links carry secrets."""
    try:
        inside = ipaddress.ip_address(socket.gethostbyname(host) if host == "localhost" else host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise CommandError(_("--plain is for loopback only: bind to 127.0.0.1 or [::1], or use TLS."))


def site_application() -> Application:
    """Return the site's ASGI application. Raise CommandError if it is not set or has no route "tcp"."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        raise CommandError(
            _('ASGI_APPLICATION is not set: name the site\'s, such as ASGI_APPLICATION = "mysite.asgi.application".')
        )
    application: Application = get_default_application()
    if has_route(application) is False:
        raise CommandError(
            _('%s has no route "tcp": let it be ProtocolTypeRouter({"http": ..., "tcp": TmtpConsumer.as_asgi()}).')
            % name
        )
    return application
