"""`manage.py remove_second_factor USERNAME`: for a member who has lost their second factor and the recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tmtp.services.people import audit

from ... import usernames
from ...second_factor import factors


class Command(BaseCommand):
    help = "Let a member who has lost their second factor sign in without it. They get a message about it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = usernames.find(options["username"])
        if user is None:
            raise CommandError(f"no member has the username {options['username']!r}")
        with audit.acting(audit.command("remove_second_factor")):
            removed = factors.remove_all(user)
        if not removed:
            raise CommandError(f"{user.get_username()} has no second factor")
        self.stdout.write(f"The second factor of {user.get_username()} is removed.")
