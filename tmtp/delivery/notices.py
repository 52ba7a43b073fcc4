"""Notices by e-mail that messages wait, for members whom no device of theirs tells.

A message is looked at once, when it has waited for NOTICE_AFTER seconds. Its recipients are told who have an address,
had no device online since, and neither were told within a day nor want no notices. What a message says is not told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.core.mail import EmailMessage
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from tmtp.conf import conf as tmtp_conf
from tmtp.models import Message, Node, QueueEntry, User
from tmtp.services.messages.expiry import OPS

from . import marks
from .addresses import address_by_user
from .conf import conf
from .email import mail_server
from .models import Notice
from .work import Budget, again

log = logging.getLogger("tmtp.delivery")
MARK = "noticed"
SALT = "tmtp.delivery.notices"
OFTEN = timedelta(days=1)
PAGE = 50  # messages looked at together
AT_ONCE = 200  # mails over one connection


def send_notices() -> int:
    """Tell whom there is to tell, as long as a task may; gives how many.

    Raises what the e-mail backend raises. Who was told by then is not told again, the others are by the next run.
    """
    if conf.NOTICE_AFTER is None:
        return 0
    before = time.time_ns() - int(conf.NOTICE_AFTER * 1e9)
    sent, budget = 0, Budget()
    if not marks.number_of(MARK):
        marks.set_mark(MARK, before)  # a site that begins with this does not tell of all that ever waited

    def step() -> int:
        nonlocal sent
        old = Message.objects.filter(pk__gt=marks.number_of(MARK), pk__lt=before).order_by("pk")
        numbers = list(old.values_list("pk", flat=True)[:PAGE])
        for accounts in _pages(_away(_not_taken(numbers))):
            if not budget:
                return 0
            sent += _tell(accounts)
        if numbers:
            marks.set_mark(MARK, numbers[-1])
        return len(numbers)

    again(step, budget)
    return sent


def _not_taken(numbers: Sequence[int]) -> set[int]:
    """The users for whom these messages wait. In a mailbox, only when they have not been there since."""
    entries = QueueEntry.objects.filter(message_id__in=numbers, message__op__in=OPS, node__user__account__isnull=False)
    rows = entries.values_list("message_id", "node__kind", "node__last_seen", "node__user_id")
    return {user for number, kind, seen, user in rows if kind != Node.Kind.MAILBOX or not _since(seen, number)}


def _since(seen: datetime | None, number: int) -> bool:
    return seen is not None and seen.timestamp() * 1e9 > number


def _away(users: Iterable[int]) -> list[Any]:
    """The accounts of those of the users who may be told: nothing of theirs was online lately."""
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
    """Mail each of them, who are marked as told first: two workers do not tell them twice."""
    addresses = address_by_user(accounts)
    sent = 0
    with mail_server() as connection:
        for account in accounts:
            address = addresses.get(account.pk)
            before = _mark_told(account) if address else None
            if not address or before is None:
                continue
            try:
                sent += connection.send_messages([notice(account, address)]) or 0
            except Exception:
                Notice.objects.filter(pk=account.pk).update(last=before.last)
                raise
    return sent


def _mark_told(account: Any) -> Notice | None:
    """Note that a member is told now; gives what there was before, None when they must not be."""
    before, _new = Notice.objects.get_or_create(account=account)
    now = timezone.now()
    free = Notice.objects.filter(Q(last=None) | Q(last__lt=now - OFTEN), pk=account.pk, unsubscribed=None)
    return before if free.update(last=now) else None


def notice(account: Any, address: str) -> EmailMessage:
    """The mail to a member. Mail programs offer to end these by one click (RFC 8058)."""
    end = conf.SITE_URL.rstrip("/") + reverse("tmtp_delivery:no_notices", args=[signing.dumps(account.pk, salt=SALT)])
    context = {"site_name": tmtp_conf.SITE_NAME, "site_url": conf.SITE_URL, "end": end, "account": account}
    subject = render_to_string("tmtp_delivery/notice_subject.txt", context).strip()
    headers = {"List-Unsubscribe": f"<{end}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    text = render_to_string("tmtp_delivery/notice.txt", context)
    return EmailMessage(subject, text, to=[address], headers={**headers, "Auto-Submitted": "auto-generated"})


def member_of(token: str) -> Any:
    """The primary key of the member to whom a link to end notices was mailed. Raises signing.BadSignature."""
    return signing.loads(token, salt=SALT)


def end_notices(account: Any) -> None:
    """The member, by primary key, wants no more notices."""
    Notice.objects.get_or_create(account_id=account)
    Notice.objects.filter(pk=account, unsubscribed=None).update(unsubscribed=timezone.now())
