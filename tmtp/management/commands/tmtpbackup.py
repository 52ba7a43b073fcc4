"""`manage.py tmtpbackup FILE`: back up the database and the spool while the service runs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error
from django.utils.translation import gettext as _

from tmtp.backup.archive import BackupError
from tmtp.backup.taking import back_up
from tmtp.management.base import TmtpCommand


class Command(TmtpCommand):
    """Write one archive. Print what it contains."""

    help = "Backs up the database and the spool, in one file, while the service runs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the archive to write; it must not exist")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        """Take the backup. Raise CommandError if it cannot be taken; then there is no file."""
        try:
            count, octets, missing = back_up(file.absolute())
        except (BackupError, Error) as error:
            raise CommandError(str(error)) from None
        for name in missing:
            self.stderr.write(_("a message's file is not in the spool, or cannot be read: %s") % name)
        self.stdout.write(
            _("%(file)s: the database and %(count)d files of the spool, %(octets)d octets")
            % {"file": file, "count": count, "octets": octets}
        )
