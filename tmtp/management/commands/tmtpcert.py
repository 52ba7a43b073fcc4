"""`manage.py tmtpcert`: create a self-signed certificate for the service, if it has none."""

from __future__ import annotations

import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from tmtp.conf import conf
from tmtp.management.base import TmtpCommand
from tmtp.server.certificate import make_self_signed

NAMES = ("localhost", "127.0.0.1", "::1")


class Command(TmtpCommand):
    """Create the files that TMTP["CERT"] and TMTP["KEY"] name. Existing files are never changed."""

    help = "Makes a self-signed certificate and its key where the settings expect them, when there are none."
    requires_system_checks: list[str] = []  # a check would warn of the missing certificate

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cert", help='the certificate (default: TMTP["CERT"])')
        parser.add_argument("--key", help='its private key (default: TMTP["KEY"])')
        parser.add_argument("--name", action="append", default=[], help="a host name or address more; repeatable")

    def handle(self, *args: Any, cert: str | None, key: str | None, name: list[str], **options: Any) -> None:
        """Create both files. Raise CommandError if only one of them exists."""
        paths = cert or conf.CERT, key or conf.KEY
        if not all(paths):
            raise CommandError(_('No file given: set TMTP["CERT"] and TMTP["KEY"], or give --cert and --key'))
        try:
            certificate, private_key = map(Path, paths)
        except TypeError as error:
            raise CommandError(_('TMTP["CERT"] and TMTP["KEY"] must be paths: %s') % error) from error
        if certificate.exists() and private_key.exists():
            return
        for there, missing in ((certificate, private_key), (private_key, certificate)):
            if there.exists():
                raise CommandError(
                    _("there is %(there)s but no %(missing)s: correct the setting, or move the file away")
                    % {"there": there, "missing": missing}
                )
        try:
            make_self_signed(certificate, private_key, [*NAMES, socket.gethostname(), *name])
        except OSError as error:
            raise CommandError(_("cannot write %s (%s)") % (error.filename, error.strerror)) from None
        if options["verbosity"]:
            self.stdout.write(_("made a self-signed certificate: %s") % certificate)
