"""The digest: one mail, every day or every week, about what is unread and was in no digest before.

A worker notes which digest it sends before it sends it, so that nobody gets one twice. If it is killed in between,
that digest is not sent, and the next one tells of the same messages: `digest_until` is noted after the sending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core import signing
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from tmtp.conf import conf as tmtp_conf
from tmtp.delivery.budget import Budget
from tmtp.delivery.conf import conf as delivery_conf
from tmtp.delivery.email_addresses import address_by_user
from tmtp.delivery.languages import in_language_of
from tmtp.delivery.notices import note_told
from tmtp.delivery.one_of_many import guarded
from tmtp.delivery.site_email import mail_server, on_site, send
from tmtp.mailbox import index
from tmtp.mailbox.models import Entry
from tmtp.mailbox.positions import Position, end_of
from tmtp.models import Node
from tmtp.protocol.values import format_msgid
from tmtp.times import aware, site_time

from .arrivals import unread
from .conf import conf
from .models import Preferences
from .rules import Rules, all_rules, zone_of
from .texts import subject_of

SALT = "tmtp.notices.digests"
AT_ONCE = 200  # members looked up together
SHOWN_MAX = 20  # threads in a digest


@dataclass
class Line:
    """A thread in a digest: its newest message, how many are new, and the last key of their entries."""

    entry: Entry
    new: int = 0
    last: int = 0

    @property
    def sender(self) -> str:
        return self.entry.alias or self.entry.uid

    @property
    def subject(self) -> str:
        return subject_of(self.entry)

    @property
    def url(self) -> str:
        return on_site(reverse("tmtp_mailbox:message", args=[format_msgid(self.entry.number)]))


def are_possible() -> bool:
    """Return whether the site can send digests: their links need its address."""
    return bool(delivery_conf.SITE_URL)


def send_digests() -> int:
    """Send the digests that are due, for as long as a task may. Return their number.

    A member whose mail is refused gets the next digest. Raise what the e-mail backend raises otherwise: the next run
    sends what was not sent by then.
    """
    sent, last, budget = 0, None, Budget()
    while budget and are_possible():
        wanting = Preferences.objects.exclude(digest=Preferences.Digest.NEVER).select_related("account").order_by("pk")
        some = list((wanting.filter(pk__gt=last) if last is not None else wanting)[:AT_ONCE])
        if not some:
            break
        last = some[-1].pk
        sent += _send_some(some)
    return sent


def _send_some(some: Sequence[Preferences]) -> int:
    now = timezone.now()
    rules = all_rules([one.account for one in some])
    due = [one for one in some if is_due(one, now) and not rules[one.pk].is_quiet(now)]
    addresses = address_by_user([one.account for one in due]) if due else {}
    with mail_server() as connection:
        return sum(_send(one, rules[one.pk], addresses[one.pk], connection) for one in due if one.pk in addresses)


def is_due(preferences: Preferences, now: datetime) -> bool:
    """Return whether a digest is due that was not begun yet, for a member whose account is active."""
    begun = preferences.digest_of
    active = getattr(preferences.account, "is_active", True)
    return active and begun is not None and aware(begun) < due_time(preferences, now)


def due_time(preferences: Preferences, now: datetime) -> datetime:
    """Return the last time at which a digest of the member was due: a day, or a Monday, at DIGEST_HOUR."""
    weekly = preferences.digest == Preferences.Digest.WEEKLY
    local = aware(now).astimezone(zone_of(preferences))
    due = local.replace(hour=conf.DIGEST_HOUR, minute=0, second=0, microsecond=0)
    due -= timedelta(days=local.weekday() if weekly else 0)
    return due if due <= local else due - timedelta(days=7 if weekly else 1)


def _send(preferences: Preferences, rules: Rules, address: str, connection: BaseEmailBackend) -> int:
    """Send a digest unless another worker does, or there is nothing to tell. Return the number of mails.

    One that cannot be made is logged, and the next one tells of the same messages.
    """
    before = preferences.digest_of
    due = site_time(due_time(preferences, timezone.now()))
    mine = Preferences.objects.filter(pk=preferences.pk)
    if not mine.filter(digest_of=before).update(digest_of=due):
        return 0
    try:
        made = guarded(partial(_made, rules=rules, address=address), preferences)
        if made is None:
            return 0
        lines, digest = made
        sent = send(connection, digest)
    except Exception:
        mine.update(digest_of=before)
        raise
    if not sent:
        return 0
    mine.update(digest_until=lines[0].entry.number, digest_entry=max(line.last for line in lines))
    guarded(note_told, preferences.account)
    return 1


def _made(preferences: Preferences, rules: Rules, address: str) -> tuple[list[Line], EmailMessage] | None:
    """Return what a digest tells of, and the digest, or None if there is nothing to tell."""
    lines = _lines(preferences, rules)
    return (lines, mail(preferences, lines, address)) if lines else None


def _lines(preferences: Preferences, rules: Rules) -> list[Line]:
    """Return the threads with messages that are unread and were in no digest, newest first."""
    account: Any = preferences.account
    node = Node.objects.filter(user__account=account, kind=Node.Kind.MAILBOX, dropped=None).first()
    if node is None:
        return []
    index.catch_up(node)
    lines: dict[int, Line] = {}
    told = Position(preferences.digest_until, preferences.digest_entry)
    for entry in told.after(unread(node)):
        if rules.wants(entry.thread, "digest"):
            line = lines.setdefault(entry.thread_id, Line(entry))
            line.entry, line.new, line.last = entry, line.new + 1, max(line.last, entry.pk)
    return sorted(lines.values(), key=lambda line: -line.entry.number)


def mail(preferences: Preferences, lines: Sequence[Line], address: str) -> EmailMessage:
    """Return a digest, in the member's language and zone. Mail programs offer a button that ends it (RFC 8058)."""
    end = on_site(reverse("tmtp_notices:no_digest", args=[signing.dumps(str(preferences.pk), salt=SALT)]))
    context = {
        "site_name": tmtp_conf.SITE_NAME,
        "lines": lines[:SHOWN_MAX],
        "more": len(lines) - SHOWN_MAX,
        "number": sum(line.new for line in lines),
        "shows": conf.SHOW_SENDER and preferences.show_sender,
        "mailbox_url": on_site(reverse("tmtp_mailbox:mailbox")),
        "preferences_url": on_site(reverse("tmtp_notices:preferences")),
        "end": end,
        "account": preferences.account,
    }
    with in_language_of(preferences.account, preferences.language), timezone.override(zone_of(preferences)):
        subject = " ".join(render_to_string("tmtp_notices/digest_subject.txt", context).split())
        text = render_to_string("tmtp_notices/digest.txt", context)
    headers = {"List-Unsubscribe": f"<{end}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return EmailMessage(subject, text, to=[address], headers={**headers, "Auto-Submitted": "auto-generated"})


def begin(preferences: Preferences, node: Node) -> None:
    """Let digests tell of what comes from now on in a mailbox. The caller saves the row."""
    index.catch_up(node)
    preferences.digest_of = timezone.now()
    preferences.digest_until, preferences.digest_entry = end_of(node)


def end(account: Any) -> None:
    """Turn the digest off, of the account with this primary key."""
    Preferences.objects.filter(pk=account).update(digest=Preferences.Digest.NEVER)
