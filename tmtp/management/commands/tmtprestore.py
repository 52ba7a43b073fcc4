"""`manage.py tmtprestore FILE`: restore a backup into an empty database and an empty spool."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error
from django.utils.translation import gettext as _

from tmtp.backup.archive import BackupError
from tmtp.backup.restoring import restore
from tmtp.management.base import TmtpCommand


class Command(TmtpCommand):
    """Restore an archive of `tmtpbackup`. Change nothing if it is damaged, or if the target is not empty."""

    help = "Restores what tmtpbackup has written, into an empty database and an empty spool."
    requires_system_checks: list[str] = []  # there is no database to check yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="the archive")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        """Restore. Raise CommandError if it cannot be done."""
        try:
            count = restore(file)
        except (BackupError, Error) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(_("restored: the database and %d files of the spool; run migrate next") % count)
