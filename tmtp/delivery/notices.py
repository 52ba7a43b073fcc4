"""Tell members by e-mail that messages wait, when none of their devices was online.

A message is looked at once, when it has waited for NOTICE_AFTER seconds. Its recipients get a notice if they have an
address, had no device online since, got no notice within a day, and have not unsubscribed. A notice does not say what
is in the message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from tmtp.conf import conf as tmtp_conf
from tmtp.models import Message, Node, QueueEntry, User
from tmtp.services.messages.expiry import OPS
from tmtp.services.messages.fanout import LATE
from tmtp.services.storage.clock import clock
from tmtp.times import number_at

from . import last_runs
from .budget import Budget, repeat
from .conf import conf
from .email_addresses import address_by_user
from .languages import in_language_of
from .models import Notice
from .one_of_many import guarded
from .site_email import mail_server, on_site, send

log = logging.getLogger("tmtp.delivery")
LAST_RUN = "noticed"
SALT = "tmtp.delivery.notices"
OFTEN = timedelta(days=1)
PAGE = 50  # messages looked at together
AT_ONCE = 200  # mails over one connection


def send_notices() -> int:
    """Send the notices that are due, for as long as a task may. Return their number.

    Raise what the e-mail backend raises. The next run tells those who were not told by then.
    """
    if conf.NOTICE_AFTER is None:
        return 0
    before = clock.now() - int(conf.NOTICE_AFTER * 1e9)
    all_committed = clock.now() - LATE  # a message with a lower number may still commit after one that is newer
    sent, budget = 0, Budget()
    if not last_runs.progress_of(LAST_RUN):
        last_runs.record(LAST_RUN, before)  # on a site that has just turned this on, skip what waited before
    after = last_runs.progress_of(LAST_RUN)

    def step() -> int:
        nonlocal sent, after
        old = Message.objects.filter(pk__gt=after, pk__lt=before).order_by("pk")
        numbers = list(old.values_list("pk", flat=True)[:PAGE])
        for accounts in _pages(_away(_not_taken(numbers))):
            if not budget:
                return 0
            sent += _tell(accounts)
        if numbers:
            after = numbers[-1]
            last_runs.record(LAST_RUN, max(last_runs.progress_of(LAST_RUN), min(after, all_committed)))
        return len(numbers)

    repeat(step, budget)
    return sent


def _not_taken(numbers: Sequence[int]) -> set[int]:
    """Return the users for whom these messages wait. Leave out mailboxes that were opened since."""
    entries = QueueEntry.objects.filter(message_id__in=numbers, message__op__in=OPS, node__user__account__isnull=False)
    rows = entries.values_list("message_id", "node__kind", "node__last_seen", "node__user_id")
    return {user for number, kind, seen, user in rows if kind != Node.Kind.MAILBOX or not _since(seen, number)}


def _since(seen: datetime | None, number: int) -> bool:
    return seen is not None and number_at(seen) > number


def _away(users: Iterable[int]) -> list[Any]:
    """Return the accounts of those users who may be told: none of their devices was online lately."""
    now, wanted = timezone.now(), list(users)
    lately = Q(server__isnull=False) | Q(last_seen__gte=now - timedelta(seconds=conf.NOTICE_AFTER))
    here = set(Node.objects.filter(lately, user__in=wanted, dropped=None).values_list("user_id", flat=True))
    away = User.objects.filter(pk__in=[user for user in wanted if user not in here]).select_related("account")
    accounts = {user.account_id: user.account for user in away if user.account is not None}
    told = Notice.objects.filter(Q(last__gte=now - OFTEN) | Q(unsubscribed__isnull=False), pk__in=accounts)
    for account in told.values_list("pk", flat=True):
        del accounts[account]
    return list(accounts.values())


def _pages(accounts: list[Any]) -> Iterable[list[Any]]:
    return (accounts[start : start + AT_ONCE] for start in range(0, len(accounts), AT_ONCE))


def _tell(accounts: Sequence[Any]) -> int:
    """Mail each of them. Mark each as told before, so that two workers do not tell them twice."""
    addresses = address_by_user(accounts)
    sent = 0
    with mail_server() as connection:
        for account in accounts:
            address = addresses.get(account.pk)
            before = guarded(_mark_told, account) if address else None
            mail = guarded(partial(notice, address=address), account) if address and before else None
            if before is None or mail is None:
                continue
            try:
                sent += send(connection, mail)
            except Exception:
                Notice.objects.filter(pk=account.pk).update(last=before.last)
                raise
    return sent


def _mark_told(account: Any) -> Notice | None:
    """Record that a member is told now. Return the row as it was before; None when the member must not be told."""
    before, _new = Notice.objects.get_or_create(account=account)
    now = timezone.now()
    free = Notice.objects.filter(Q(last=None) | Q(last__lt=now - OFTEN), pk=account.pk, unsubscribed=None)
    return before if free.update(last=now) else None


def note_told(account: Any) -> None:
    """Record that another mail has told a member now of what waits."""
    Notice.objects.update_or_create(account=account, defaults={"last": timezone.now()})


def notice(account: Any, address: str) -> EmailMessage:
    """Return the mail to a member. Mail programs offer a button that unsubscribes (RFC 8058)."""
    end = on_site(reverse("tmtp_delivery:no_notices", args=[signing.dumps(str(account.pk), salt=SALT)]))
    context = {"site_name": tmtp_conf.SITE_NAME, "site_url": conf.SITE_URL, "end": end, "account": account}
    with in_language_of(account):
        subject = render_to_string("tmtp_delivery/notice_subject.txt", context).strip()
        text = render_to_string("tmtp_delivery/notice.txt", context)
    headers = {"List-Unsubscribe": f"<{end}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return EmailMessage(subject, text, to=[address], headers={**headers, "Auto-Submitted": "auto-generated"})


def member_of(token: str) -> Any:
    """Return the primary key of the account in an unsubscribe link. Raise signing.BadSignature."""
    text = signing.loads(token, salt=SALT)
    try:
        return get_user_model()._meta.pk.to_python(text)
    except ValidationError as error:  # the accounts have had other keys since
        raise signing.BadSignature("not a primary key") from error


def end_notices(account: Any) -> None:
    """Unsubscribe an account, given by its primary key."""
    Notice.objects.get_or_create(account_id=account)
    Notice.objects.filter(pk=account, unsubscribed=None).update(unsubscribed=timezone.now())
