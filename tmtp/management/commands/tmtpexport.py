"""`manage.py tmtpexport USER FILE`: export everything that the site has of a member."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from tmtp.management.base import TmtpCommand, text
from tmtp.members_data import exporting
from tmtp.members_data.finding import find
from tmtp.services.errors import Refused
from tmtp.services.people import audit


class Command(TmtpCommand):
    """Write one archive. Print its size."""

    help = "Exports the messages of a member, as e-mails with attachments, and everything else of them as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", metavar="USER", type=text, help="a username, an alias or a uid")
        parser.add_argument("file", metavar="FILE", type=Path, help="the ZIP archive to write; it must not exist")

    def handle(self, *args: Any, user: str, file: Path, **options: Any) -> None:
        """Export. Raise CommandError if nobody has this name, or the file cannot be written; then there is none."""
        try:
            with audit.acting(audit.command("tmtpexport")):
                octets = exporting.export_to(find(user), file.absolute())
        except FileExistsError:
            raise CommandError(_("%s exists already") % file) from None
        except OSError as error:
            raise CommandError(f"{error.filename or file}: {error.strerror or error}") from None
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(_("%(file)s: %(octets)d octets") % {"file": file, "octets": octets})
