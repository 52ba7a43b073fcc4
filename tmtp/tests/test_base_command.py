"""What all commands of the project say if the database cannot be used (`tmtp.management.base`)."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, ProgrammingError

from tmtp.management.base import TmtpCommand

pytestmark = pytest.mark.once


class Failing(TmtpCommand):
    requires_system_checks = ()

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def handle(self, *args: Any, **options: Any) -> None:
        raise self.error


def test_missing_tables_lead_to_migrate() -> None:
    missing = OperationalError("no such table: tmtp_user")
    with pytest.raises(CommandError, match=r"no such table: tmtp_user.*run `manage.py migrate` first"):
        call_command(Failing(missing))


def test_a_database_that_cannot_be_reached_is_one_line() -> None:
    refused = OperationalError("connection refused\n\tIs the server running?")
    with pytest.raises(CommandError, match=r"^The database cannot be used: connection refused$"):
        call_command(Failing(refused))


@pytest.mark.parametrize("error", [IntegrityError("UNIQUE constraint failed"), ProgrammingError("syntax error")])
def test_other_errors_of_the_database_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        call_command(Failing(error))
