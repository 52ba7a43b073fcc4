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
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from ...checks.site import has_route
from ...conf import conf, format_address
from ...engine.engine import Engine
from ...server.context import Certificate
from ...server.listener import Listener, bound_socket
from ...server.tcp import Application
from ...store.store import Unavailable

M_MMAP_THRESHOLD = -3
GARBAGE = 10_000  # objects more than before, then Python looks for cycles: at 700, that took 7 % of the loop's time


class Command(BaseCommand):
    """Serves TMTP over TLS until it is told to stop (SIGINT or SIGTERM)."""

    help = "Serves TMTP: members' devices connect here."
    # Others would load the website's pages, which this process does not serve: 17 MB and more.
    requires_system_checks = ("tmtp",)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The defaults are in TMTP = {...}."""
        parser.add_argument("--bind", metavar="HOST:PORT", help="where to listen (TMTP['BIND'])")
        parser.add_argument("--cert", help="certificate file, PEM (TMTP['CERT'])")
        parser.add_argument("--key", help="its private key file, PEM (TMTP['KEY'])")
        parser.add_argument("--plain", action="store_true", help="without TLS; on loopback only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check what can be checked before the first link, then serve."""
        try:
            host, port = conf.address(options["bind"])
            check_migrations()
            certificate = None if options["plain"] else self._certificate(options["cert"], options["key"])
            if options["plain"]:
                check_loopback(host)
            application = site_application()
            sock = self._socket(host, port)
        except ImproperlyConfigured as error:
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
        engine = Engine()
        try:
            await engine.start(address)
        except Unavailable as error:
            raise CommandError(_("The database cannot be used: %s") % error) from error
        listener = Listener(application, sock, certificate.context if certificate else None)
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
        if engine.store.broken:
            raise CommandError(
                _("The service failed, its log says how. Start it again: nothing acknowledged is lost.")
            )
        self.stdout.write(_("stopped"))


def check_migrations() -> None:
    """Raises CommandError when the database cannot be reached, or lacks tables."""
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
    """Raises CommandError unless `host` is this machine alone: passwords go over the link."""
    try:
        inside = ipaddress.ip_address(socket.gethostbyname(host) if host == "localhost" else host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise CommandError(_("--plain is for loopback only: bind to 127.0.0.1 or [::1], or use TLS."))


def site_application() -> Application:
    """What answers links: the site's ASGI application. Raises CommandError when it is not set or knows no TCP."""
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
    """An event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _spare_memory() -> None:
    """Have large buffers given back when they are freed, and do not search what stays for ever for garbage.

    glibc raises the size from which a buffer is large as soon as one is freed, up to that of a link's TLS buffer; then
    links that come and go leave the memory they touched behind (M_MMAP_THRESHOLD, mallopt(3)).
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it is installed: a third faster."""
    _spare_memory()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
