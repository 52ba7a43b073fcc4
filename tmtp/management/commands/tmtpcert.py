"""`manage.py tmtpcert`: a self-signed certificate for the service, when it has none."""

from __future__ import annotations

import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from tmtp.conf import conf
from tmtp.server.certificate import make_self_signed

NAMES = ("localhost", "127.0.0.1", "::1")


class Command(BaseCommand):
    """Make the files that TMTP["CERT"] and TMTP["KEY"] name; what is there stays as it is."""

    help = "Makes a self-signed certificate and its key where the settings expect them, when there are none."
    requires_system_checks: list[str] = []  # those that miss the certificate are why this runs

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Offer other files and more names."""
        parser.add_argument("--cert", help='the certificate (default: TMTP["CERT"])')
        parser.add_argument("--key", help='its private key (default: TMTP["KEY"])')
        parser.add_argument("--name", action="append", default=[], help="a host name or address more; repeatable")

    def handle(self, *args: Any, cert: str | None, key: str | None, name: list[str], **options: Any) -> None:
        """Make both files, or say which one is missing."""
        paths = cert or conf.CERT, key or conf.KEY
        if not all(paths):
            raise CommandError(_('where to? Set TMTP["CERT"] and TMTP["KEY"], or give --cert and --key'))
        certificate, private_key = map(Path, paths)
        if certificate.exists() and private_key.exists():
            return
        for there, missing in ((certificate, private_key), (private_key, certificate)):
            if there.exists():
                raise CommandError(
                    _("there is %(there)s but no %(missing)s; move it away to have both made")
                    % {"there": there, "missing": missing}
                )
        try:
            make_self_signed(certificate, private_key, [*NAMES, socket.gethostname(), *name])
        except OSError as error:
            raise CommandError(_("cannot write %s (%s)") % (error.filename, error.strerror)) from None
        if options["verbosity"]:
            self.stdout.write(_("made a self-signed certificate: %s") % certificate)
