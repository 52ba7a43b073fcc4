"""`manage.py broadcast`: send one message to many members, and see how far it is. Ctrl-C pauses it."""

from __future__ import annotations

import signal
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from django.contrib.auth.models import Group as AccountGroup
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import CommandError
from django.db import transaction
from django.utils.formats import date_format
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext as _

from tmtp.delivery.broadcasts import audience, lifecycle, trial
from tmtp.delivery.broadcasts.files import attach
from tmtp.delivery.broadcasts.sending import send
from tmtp.delivery.models import Broadcast, Segment, Template
from tmtp.management.base import TmtpCommand, text
from tmtp.models import Group
from tmtp.services.errors import Refused
from tmtp.times import local_time, site_time

MISSING = {
    Group: gettext_noop("Group “%(name)s” does not exist."),
    AccountGroup: gettext_noop("Group “%(name)s” does not exist."),
    Segment: gettext_noop("Segment “%(name)s” does not exist."),
    Template: gettext_noop("Template “%(name)s” does not exist."),
}
LOOK = 0.5  # seconds to wait while another process sends, or until the rate allows more
State = Broadcast.State


def day(text: str) -> date:
    """Parse a date. Raise ArgumentTypeError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(_("%(text)s is not a date such as 2026-01-31") % {"text": text}) from None


def moment(text: str) -> datetime:
    """Parse a time of the site. Raise ArgumentTypeError."""
    try:
        return site_time(datetime.fromisoformat(text))
    except ValueError:
        raise ArgumentTypeError(_("%(text)s is not a time such as 2026-01-31T18:00") % {"text": text}) from None


def rate(text: str) -> int:
    """Parse a number above 0. Raise ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(_("%(text)s is not a positive number") % {"text": text})
    return int(text)


class Command(TmtpCommand):
    """Sends a new broadcast, or continues one. The exit status is 0 when it is done, and 130 when it was paused."""

    help = "Sends one message to many members. Ctrl-C pauses it; --resume goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the text, the audience, and the rate."""
        parser.add_argument("--subject", type=text, help="the subject")
        parser.add_argument("--body-file", metavar="FILE", help="the text, CommonMark in UTF-8; - for standard input")
        parser.add_argument("--template", metavar="NAME", type=text, help="begin with a template of the admin")
        parser.add_argument("--attach", metavar="FILE", action="append", default=[], help="attach this file")
        parser.add_argument("--all", action="store_true", help="to everyone")
        parser.add_argument("--segment", metavar="NAME", type=text, help="members of this segment of the admin")
        parser.add_argument(
            "--group", metavar="GID", action="append", type=text, default=[], help="who has joined this group"
        )
        parser.add_argument(
            "--account-group", metavar="NAME", action="append", type=text, default=[], help="accounts in it"
        )
        parser.add_argument("--staff", action="store_true", help="staff only")
        parser.add_argument("--joined-since", metavar="DATE", type=day, help="who signed up since then")
        parser.add_argument("--joined-before", metavar="DATE", type=day, help="who signed up before then")
        parser.add_argument("--seen-since", metavar="DATE", type=day, help="who has signed in since then")
        parser.add_argument("--rate", metavar="N", type=rate, help="at most so many recipients a minute")
        parser.add_argument(
            "--at", metavar="TIME", type=moment, help="send it at this time of the site, and end at once"
        )
        parser.add_argument(
            "--repeat", choices=list(filter(None, Broadcast.Repeat.values)), default="", help="with --at"
        )
        parser.add_argument("--until", metavar="DATE", type=day, help="the last day on which it is repeated")
        parser.add_argument("--times", metavar="N", type=rate, help="how many times it is sent, if it is repeated")
        parser.add_argument("--test", metavar="NAME", type=text, help="send a test to this member, and nothing else")
        parser.add_argument("--count", action="store_true", help="print how many recipients it has, and send nothing")
        parser.add_argument("--no-input", "--noinput", action="store_true", help="do not ask before it is sent")
        parser.add_argument("--resume", metavar="ID", type=int, help="go on with one that was begun")

    def handle(self, *args: Any, resume: int | None, **options: Any) -> None:
        """Send, and print the progress and the result."""
        stopped: list[int] = []

        def stop(number: int, frame: FrameType | None) -> None:
            stopped.append(number)

        try:
            broadcast = self._begun(resume) if resume is not None else self._new(options)
            if broadcast is None:
                return
            before = signal.signal(signal.SIGINT, stop)
            try:
                self._follow(broadcast, stopped)
            finally:
                signal.signal(signal.SIGINT, before)
        except Refused as refused:
            raise CommandError(refused.text_for_people()) from None

    def _begun(self, pk: int) -> Broadcast:
        broadcast = Broadcast.objects.filter(pk=pk).first()
        if broadcast is None:
            raise CommandError(_("Broadcast %(number)d does not exist.") % {"number": pk})
        if broadcast.state in (State.DRAFT, State.SCHEDULED):
            lifecycle.start(broadcast)
        elif broadcast.state == State.PAUSED:
            lifecycle.resume(broadcast)
        return broadcast

    def _new(self, options: dict[str, Any]) -> Broadcast | None:
        """Start a new broadcast, and return it; None if it is not to be sent."""
        with transaction.atomic():
            broadcast = self._draft(options)
            if options["all"] and audience.describe(broadcast):
                raise CommandError(_("--all cannot be combined with other conditions."))
            check_times(options)
            if options["test"]:
                self._test(broadcast, options["test"])
            elif options["count"]:
                self._count(broadcast)
            elif not self._is_sure(broadcast, options):
                self.stdout.write(_("It was not sent."))
            elif options["at"]:
                self._schedule(broadcast, options)
                return None
            else:
                lifecycle.start(broadcast)
                return broadcast
            broadcast.delete()
        return None

    def _draft(self, options: dict[str, Any]) -> Broadcast:
        if options["template"]:
            (template,) = named(Template, "name", [options["template"]])
        elif options["subject"] and options["body_file"]:
            template = Template()
        else:
            raise CommandError(_("Give --subject and --body-file, or --template NAME, or --resume ID."))
        segment = named(Segment, "name", [options["segment"]])[0] if options["segment"] else None
        broadcast = Broadcast(
            segment=segment,
            subject=options["subject"] or template.subject,
            body=text_of(options["body_file"]) if options["body_file"] else template.body,
            everyone=options["all"],
            staff_only=options["staff"],
            **{name: options[name] for name in ("joined_since", "joined_before", "seen_since", "rate")},
        )
        try:
            broadcast.full_clean()
        except ValidationError as error:
            raise CommandError(in_words(error)) from None
        broadcast.save()
        attach(broadcast, options["attach"])
        broadcast.groups.set(named(Group, "gid", options["group"]))
        broadcast.account_groups.set(named(AccountGroup, "name", options["account_group"]))
        return broadcast

    def _schedule(self, broadcast: Broadcast, options: dict[str, Any]) -> None:
        again = {name: options[name] for name in ("repeat", "until", "times")}
        lifecycle.schedule(broadcast, options["at"], **again)
        at = date_format(local_time(options["at"]), "DATETIME_FORMAT")
        self.stdout.write(_("Broadcast %(number)d is scheduled for %(at)s.") % {"number": broadcast.pk, "at": at})

    def _test(self, broadcast: Broadcast, name: str) -> None:
        trial.send_test(broadcast, trial.member(name))
        self.stdout.write(_("A test was sent to “%(name)s”.") % {"name": name})

    def _count(self, broadcast: Broadcast) -> None:
        lifecycle.check(broadcast)
        self.stdout.write(recipients(audience.count(broadcast)))
        for name in audience.sample(broadcast):
            self.stdout.write(f"    {name}")

    def _is_sure(self, broadcast: Broadcast, options: dict[str, Any]) -> bool:
        """Ask on a terminal, if it goes to everyone or to many. Return whether it is to be sent."""
        number = audience.count(broadcast)
        lifecycle.check(broadcast)
        if options["no_input"] or not sys.stdin.isatty() or not audience.is_large(broadcast, number):
            return True
        self.stdout.write(recipients(number))
        try:
            return input(_("Send it? Type “yes”: ")).strip().lower() in ("yes", _("yes"))
        except EOFError:
            return False

    def _follow(self, broadcast: Broadcast, stopped: list[int]) -> None:
        """Send it, or wait while another process does, until it no longer runs or Ctrl-C was pressed."""
        self.stdout.write(_("Broadcast %(number)d: “%(subject)s”") % {"number": broadcast.pk, "subject": broadcast})
        shown = Progress(self.stdout)
        while broadcast.state == State.RUNNING and not stopped:

            def go_on() -> bool:
                broadcast.refresh_from_db()
                shown.show(broadcast)
                return not stopped

            if not send(broadcast.pk, go_on) and not stopped:
                time.sleep(LOOK)
            broadcast.refresh_from_db()
            shown.show(broadcast)
        if stopped and broadcast.state == State.RUNNING:
            lifecycle.pause(broadcast)
        shown.end(broadcast)
        if broadcast.state != State.DONE:
            self._unfinished(broadcast)

    def _unfinished(self, broadcast: Broadcast) -> None:
        if broadcast.problem:
            raise CommandError(broadcast.problem)
        if broadcast.state == State.PAUSED:
            self.stdout.write(_("To resume: manage.py broadcast --resume %(number)d") % {"number": broadcast.pk})
        sys.exit(130)


class Progress:
    """Prints the progress of a broadcast: on one line of a terminal, else a line for each tenth."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._said = ""
        self._tenth = -1

    def show(self, broadcast: Broadcast) -> None:
        """Print the progress, if it has changed."""
        tenth = broadcast.sent * 10 // broadcast.total if broadcast.total else -1
        text = describe(broadcast)
        if text == self._said or (not self._out.isatty() and tenth == self._tenth):
            return
        if self._out.isatty():
            self._out.write(f"\r{text}\033[K", ending="")
        else:
            self._out.write(text)
        self._out.flush()
        self._said, self._tenth = text, tenth

    def end(self, broadcast: Broadcast) -> None:
        """Print the final state."""
        last = f"{describe(broadcast)}: {broadcast.get_state_display()}"
        self._out.write(f"\r{last}\033[K" if self._out.isatty() else last)


def describe(broadcast: Broadcast) -> str:
    """Return the progress in words."""
    if not broadcast.chosen:
        return _("choosing recipients")
    return _("queued for %(sent)d of %(total)d") % {"sent": broadcast.sent, "total": broadcast.total}


def recipients(number: int) -> str:
    """Return the number of recipients in words."""
    return ngettext("It has %(number)d recipient.", "It has %(number)d recipients.", number) % {"number": number}


def check_times(options: dict[str, Any]) -> None:
    """Raise CommandError unless the options about times belong together."""
    if options["repeat"] and not options["at"]:
        raise CommandError(_("--repeat needs --at."))
    if (options["until"] or options["times"]) and not options["repeat"]:
        raise CommandError(_("--until and --times need --repeat."))


def text_of(name: str) -> str:
    """Return the text in a file, or on standard input. Raise CommandError."""
    try:
        octets = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return octets.decode()
    except OSError as error:
        raise CommandError(_("%(file)s cannot be read: %(why)s") % {"file": name, "why": error.strerror}) from None
    except UnicodeDecodeError:
        raise CommandError(_("%(file)s is not in UTF-8") % {"file": name}) from None


def in_words(error: ValidationError) -> str:
    """Return the errors of a broadcast, each after the name of its field."""
    said = []
    for name, texts in error.message_dict.items():
        label = "" if name == NON_FIELD_ERRORS else f"{Broadcast._meta.get_field(name).verbose_name}: "  # type: ignore[union-attr]
        said.append(label + " ".join(texts))
    return " ".join(said)


def named(model: Any, field: str, names: list[str]) -> list[Any]:
    """Return the rows that have these values in a field. Raise CommandError when one does not exist."""
    found = {getattr(row, field): row for row in model.objects.filter(**{f"{field}__in": names})}
    missing = [name for name in names if name not in found]
    if missing:
        raise CommandError(gettext(MISSING[model]) % {"name": missing[0]})
    return [found[name] for name in names]
