"""`manage.py tmtpimport`: take over the data of a Go server, or members from a CSV file."""

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
from tmtp.services.imports.member_csv import CsvError, import_members


class Command(TmtpCommand):
    """Import a data directory or a table. Exit with status 1 if something in it could not be imported."""

    help = "Imports the data of a Go server (mnm v0.2), or members of the website from a CSV file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dir", metavar="DIR", type=Path, nargs="?", help="the folder with userdb and qstore")
        parser.add_argument("--csv", metavar="FILE", type=Path, help="a table of members, in place of DIR")
        parser.add_argument("--dry-run", action="store_true", help="with --csv: only say what would be imported")

    def handle(self, *args: Any, dir: Path | None, csv: Path | None, dry_run: bool, **options: Any) -> None:
        """Import, and print a line for each problem. Raise CommandError if there is one."""
        if (dir is None) == (csv is None):
            raise CommandError(_("name the data directory of a Go server, or a table with --csv FILE"))
        if dry_run and dir:
            raise CommandError(_("--dry-run is for --csv only"))
        try:
            problems = self._table(csv, dry_run) if csv else self._go_server(dir or Path())
        except Refused as refused:
            raise CommandError(_("%s; run this again to import the rest") % refused.text_for_people()) from None
        except (CsvError, Error) as error:
            raise CommandError(str(error)) from None
        if problems:
            raise CommandError(ngettext("%d problem, see above", "%d problems, see above", problems) % problems)

    def _go_server(self, dir: Path) -> int:
        """Import a data directory, and return the number of problems."""
        for part in ("userdb", "qstore"):
            if not (dir / part).is_dir():
                raise CommandError(
                    _("%(dir)s is not the data directory of a Go server: no %(part)s in it")
                    % {"dir": dir, "part": part}
                )
        counts = Import(dir, self._tell).run()
        self.stdout.write(counts.text)
        return counts.problems

    def _table(self, csv: Path, dry_run: bool) -> int:
        """Import a table of members, and return the number of wrong lines."""
        added, wrong = import_members(csv, self._tell, dry_run=dry_run)
        parts = (
            ngettext("%d account", "%d accounts", added.accounts) % added.accounts,
            ngettext("%d alias", "%d aliases", added.names) % added.names,
            ngettext("%d group member", "%d group members", added.members) % added.members,
        )
        text = _("would be added: %s") if dry_run else _("added: %s")
        self.stdout.write(text % ", ".join(parts))
        return wrong

    def _tell(self, line: str) -> None:
        self.stderr.write(line.encode("utf-8", "backslashreplace").decode())  # names of files may not be UTF-8
