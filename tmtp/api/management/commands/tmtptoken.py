"""`manage.py tmtptoken`: create, list, renew and revoke tokens of the HTTP API."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from tmtp.management.base import TmtpCommand, text

from ... import tokens
from ...models import Token


def _above_zero(argument: str) -> int:
    if not argument.isdecimal() or not 0 < int(argument) <= 1_000_000:
        raise ArgumentTypeError(_("“%(value)s” is not a whole number above 0") % {"value": argument})
    return int(argument)


class Command(TmtpCommand):
    """The secret of a token goes to standard output, and nothing else does, so that a script can keep it."""

    help = "Creates, lists, renews and revokes tokens of the HTTP API. A secret is shown only once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add a parser for each action."""
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="create a token and print its secret")
        create.add_argument("name", type=text, help="the program that uses it, such as CRM")
        create.add_argument(
            "--scope", action="append", required=True, choices=Token.Scope.values, help="what it may do; repeat it"
        )
        create.add_argument("--days", type=_above_zero, help="after how many days it expires; without, never")
        create.add_argument("--rate", type=_above_zero, help="how many requests per minute it may make")
        actions.add_parser("list", help="list all tokens")
        renew = actions.add_parser("renew", help="make and print another secret; the old one is refused at once")
        revoke = actions.add_parser("revoke", help="refuse a token from now on, for good")
        for parser_of_one in (renew, revoke):
            parser_of_one.add_argument("name", type=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the action. Raise CommandError if the name is taken, or is nobody's."""
        if options["action"] == "list":
            self._list()
        elif options["action"] == "create":
            self._create(**options)
        else:
            token = Token.objects.filter(name=options["name"], revoked=None).first()
            if token is None:
                raise CommandError(_("There is no token “%(name)s” in use.") % {"name": options["name"]})
            if options["action"] == "renew":
                self.stdout.write(tokens.give_secret(token))
            else:
                tokens.revoke(token)

    def _create(self, name: str, scope: list[str], days: int | None, rate: int | None, **_options: Any) -> None:
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise CommandError(_("A name has 1 to 100 characters that can be printed."))
        if Token.objects.filter(name=name).exists():
            raise CommandError(_("There is a token “%(name)s” already.") % {"name": name})
        expires = timezone.now() + timedelta(days=days) if days else None
        self.stdout.write(tokens.create(name, scope, expires, rate)[1])

    def _list(self) -> None:
        for token in Token.objects.order_by("name"):
            state = "revoked" if token.revoked else "expired" if _is_past(token.expires) else "in use"
            used = token.last_used.isoformat(timespec="minutes") if token.last_used else "-"
            self.stdout.write(f"{token.name}\t{state}\t{','.join(token.scopes)}\t{used}")


def _is_past(time: Any) -> bool:
    return time is not None and time <= timezone.now()
