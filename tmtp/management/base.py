"""What the commands share: they print on any console, and say what to do if the database cannot be used."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, OperationalError
from django.utils.translation import gettext as _

from ..logs import shows_what_is_missing


def text(argument: str) -> str:
    """Parse text in UTF-8, also where the locale is another one. Raise ArgumentTypeError if it is not UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:  # it has octets that are nothing in the locale's encoding
        try:
            return os.fsencode(argument).decode()
        except UnicodeDecodeError:
            raise ArgumentTypeError(_("this is not in UTF-8")) from None
    return argument


class TmtpCommand(BaseCommand):
    """A command whose output never raises UnicodeEncodeError.

    What the console's encoding lacks is printed as an escape, such as \\u201c, as Python does on standard error.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        super().__init__(*args, **options)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. Raise CommandError if the database cannot be reached, or lacks tables."""
        try:
            return super().execute(*args, **options)
        except Error as error:
            line = str(error).strip().partition("\n")[0]
            if shows_what_is_missing(error):
                raise CommandError(
                    _("The database lacks tables (%s): run `manage.py migrate` first.") % line
                ) from error
            if isinstance(error, OperationalError):
                raise CommandError(_("The database cannot be used: %s") % line) from error
            raise
