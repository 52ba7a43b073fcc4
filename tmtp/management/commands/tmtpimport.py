"""`manage.py tmtpimport DIR`: take over the users, groups and waiting messages of a Go server."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import Error
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tmtp.goserver.importing import Import
from tmtp.management.base import TmtpCommand
from tmtp.services.errors import Refused


class Command(TmtpCommand):
    """Import a data directory. Exit with status 1 if a file in it could not be imported."""

    help = "Imports the data of a Go server (mnm v0.2): users with their devices, groups, and the messages that wait."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dir", metavar="DIR", type=Path, help="the folder with userdb and qstore")

    def handle(self, *args: Any, dir: Path, **options: Any) -> None:
        """Import, and print a line for each file that cannot be imported. Raise CommandError if there is one."""
        for part in ("userdb", "qstore"):
            if not (dir / part).is_dir():
                raise CommandError(
                    _("%(dir)s is not the data directory of a Go server: no %(part)s in it")
                    % {"dir": dir, "part": part}
                )
        importing = Import(dir, lambda line: self.stderr.write(ascii_if_needed(line)))
        try:
            counts = importing.run()
        except Refused as refused:
            raise CommandError(_("%s; run this again to import the rest") % refused.text_for_people()) from None
        except Error as error:
            raise CommandError(_("the database refuses: %s") % error) from None
        self.stdout.write(counts.text)
        if counts.problems:
            raise CommandError(
                ngettext("%d problem, see above", "%d problems, see above", counts.problems) % counts.problems
            )


def ascii_if_needed(line: str) -> str:
    """Return a line with names of files that are not UTF-8 escaped."""
    return line.encode("utf-8", "backslashreplace").decode()
