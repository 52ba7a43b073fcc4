"""`manage.py runtmtp`: serve TMTP."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import ipaddress
import signal
import socket
from argparse import ArgumentParser
from collections.abc import Coroutine
from contextlib import suppress
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
from ...conf import conf, format_address
from ...engine.clock import ClockFailed, compare_with_ntp
from ...engine.engine import Engine
from ...monitoring.side_port import SidePort
from ...server.context import Certificate
from ...server.listener import Listener, bound_socket
from ...server.proxy import Proxies
from ...server.tcp import Application
from ...store.transactions import Unavailable
from ..base import TmtpCommand

M_MMAP_THRESHOLD = -3
GC_THRESHOLD = 10_000  # objects; at Python's 700, garbage collection took 7 % of the loop's time


class Command(TmtpCommand):
    """Serve TMTP over TLS until SIGINT or SIGTERM."""

    help = "Serves TMTP: members' devices connect here."
    # Other checks would load the website's views, which this process does not serve: 17 MB or more.
    requires_system_checks = ("tmtp",)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", metavar="HOST:PORT", help="where to listen (TMTP['BIND'])")
        parser.add_argument("--cert", help="certificate file, PEM (TMTP['CERT'])")
        parser.add_argument("--key", help="its private key file, PEM (TMTP['KEY'])")
        parser.add_argument("--plain", action="store_true", help="without TLS; on loopback only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the settings, files and database, then serve. Raise CommandError if anything is wrong."""
        try:
            host, port = conf.address(options["bind"])
            check_migrations()
            certificate = None if options["plain"] else self._certificate(options["cert"], options["key"])
            if options["plain"]:
                check_loopback(host)
            application = site_application()
            compare_with_ntp()
            sock = self._socket(host, port)
        except (ClockFailed, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        _run(self._serve(application, sock, certificate))

    def _certificate(self, cert: str | None, key: str | None) -> Certificate:
        cert, key = cert or conf.CERT, key or conf.KEY
        if not cert or not key:
            raise CommandError(
                _(
                    "There is no certificate: give --cert and --key, or TMTP['CERT'] and TMTP['KEY'];"
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

    def _socket(self, host: str, port: int) -> socket.socket:
        try:
            return bound_socket(host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise CommandError(
                _("Cannot listen on %(host)s:%(port)s: %(reason)s") % {"host": host, "port": port, "reason": reason}
            ) from error

    async def _serve(self, application: Application, sock: socket.socket, certificate: Certificate | None) -> None:
        stop = _stop_signals()
        address = format_address(*sock.getsockname()[:2])
        side = self._socket(*conf.address(conf.METRICS)) if conf.METRICS else None
        engine = Engine(address)
        side_port = SidePort(side, engine) if side else None
        try:
            await engine.start()
        except Unavailable as error:
            raise CommandError(_("The database cannot be used: %s") % error) from error
        if side_port:
            side_port.start()
        context = certificate.context if certificate else None
        listener = Listener(application, sock, context, engine.limits, Proxies(conf.PROXIES))
        await listener.start(conf.WRITE_TIMEOUT, conf.LOGIN_TIMEOUT)
        renewal = asyncio.ensure_future(certificate.keep_renewed()) if certificate else None
        how = _("with TLS") if certificate else _("without TLS")
        self.stdout.write(
            _("TMTP service “%(name)s” on %(address)s, %(how)s, database %(vendor)s")
            % {"name": conf.SITE_NAME, "address": address, "how": how, "vendor": connection.vendor}
        )
        self.stdout.flush()
        await stop.wait()
        if renewal:
            renewal.cancel()
        listener.stop_accepting()
        await engine.stop()
        await listener.stop()
        if side_port:
            side_port.stop()
        if engine.store.broken:
            raise CommandError(
                _("The service failed, its log says how. Start it again: nothing acknowledged is lost.")
            )
        self.stdout.write(_("stopped"))


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


def _stop_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _tune_memory() -> None:
    """Return large buffers to the system when they are freed, and exempt the objects made so far from collection.

    glibc raises its threshold for large buffers whenever one is freed, up to the size of a TLS buffer. Without a fixed
    threshold, the memory of closed links would stay with the process (M_MMAP_THRESHOLD in mallopt(3)).
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop, which is a third faster, or on asyncio's own loop if uvloop is not installed."""
    _tune_memory()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
