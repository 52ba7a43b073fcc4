"""Send a broadcast: store its recipients once, then send to them, each portion in one transaction.

The worker that sends it holds a claim (`tmtp.delivery.claims`), so another one continues when it dies. If two work on
it all the same, each portion is still sent once: `step` locks the broadcast, and deletes the recipients of a portion
in the transaction that sends to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import BigIntegerField, F, Q, QuerySet, Value
from django.utils import timezone

from tmtp.models import User
from tmtp.protocol.values import parse_msgid
from tmtp.services.errors import Refused
from tmtp.services.messages.sending import Personal, send_message, send_personal
from tmtp.services.people.linking import users_of

from .. import claims
from ..budget import let_others_write
from . import audience, fields, files, pace
from .lifecycle import check, pause
from .models import Broadcast, Part, Recipient
from .trial import letters

PORTION = 1000  # recipients of one message, in one transaction
PERSONAL_PORTION = 100  # with fields: messages in one transaction
PERSONAL_WITH_FILES = 10  # and with attachments, which each message has
LEAST_BURST = timedelta(seconds=10)  # with a rate: the time from one message to the next
MOST_BURST = timedelta(minutes=2)  # the time that it may catch up with
RUNNING, DONE = Broadcast.State.RUNNING, Broadcast.State.DONE


def send(pk: int, go_on: Callable[[], Any]) -> bool:
    """Send portions of a running broadcast while `go_on()` is true. Return whether there is more to send at once.

    Do nothing when another worker holds it. When sending is Refused, which only a person can change, pause the
    broadcast with the reason. Raise any other error; the call can then be repeated.
    """
    claim = _take(pk)
    if not claim:
        return False
    sender = _Sender(pk, claim)
    try:
        while go_on():
            begun = time.monotonic()
            if not sender.step():
                return False
            let_others_write(time.monotonic() - begun)
        return True
    except Refused as refused:
        for broadcast in Broadcast.objects.filter(pk=pk):
            with suppress(Refused):
                pause(broadcast, refused.text_for_people())
        return False
    finally:
        claims.release(claims.held(Broadcast.objects.filter(pk=pk), claim))


def unattended() -> QuerySet[Broadcast]:
    """Return the running broadcasts that nobody holds, without those that have to wait because of their rate."""
    now = timezone.now()
    due = Q(rate=None) | Q(paced=None) | Q(paced__lt=now - LEAST_BURST)
    return Broadcast.objects.filter(claims.is_free(), due, state=RUNNING).order_by("pk")


def _take(pk: int) -> str:
    """Claim a running broadcast. Return an empty string when it is claimed or does not run."""
    return claims.take(Broadcast.objects.filter(pk=pk, state=RUNNING))


class _Sender:
    """Sends a broadcast that is held under a claim."""

    def __init__(self, pk: int, claim: str) -> None:
        self._held = claims.held(Broadcast.objects.filter(pk=pk, state=RUNNING), claim)
        self._last_account: Any = None

    @transaction.atomic
    def step(self) -> bool:
        """Do the next step, in a transaction. Return whether there may be more to do."""
        broadcast = self._held.select_for_update().first()
        if broadcast is None:
            return False
        claims.renew(self._held)
        if broadcast.chosen:
            return self._send(broadcast)
        check(broadcast)
        if not self._make_users(broadcast):
            self._choose(broadcast)
        return True

    def _make_users(self, broadcast: Broadcast) -> bool:
        """Create users for some of the accounts that have none yet. Return whether there were any."""
        accounts = audience.accounts_without_user(broadcast).order_by("pk")
        if self._last_account is not None:
            accounts = accounts.filter(pk__gt=self._last_account)
        some = list(accounts[:PORTION])
        if some:
            users_of(some)
            self._last_account = some[-1].pk
        return bool(some)

    def _choose(self, broadcast: Broadcast) -> None:
        """Store the recipients, in one statement."""
        this = Value(broadcast.pk, BigIntegerField())
        rows, values = audience.users(broadcast).values_list(this, "pk").query.sql_with_params()
        table = connection.ops.quote_name(Recipient._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} (broadcast_id, user_id) {rows}", values)
            self._held.update(chosen=timezone.now(), total=cursor.rowcount)

    def _send(self, broadcast: Broadcast) -> bool:
        """Send the next portion, and delete its recipients. Return whether there are more."""
        now = timezone.now()
        size, paced = _portion(broadcast, now, _most(broadcast))
        if not size:
            return False
        waiting = Recipient.objects.filter(broadcast=broadcast)
        users = list(User.objects.filter(pk__in=waiting.order_by("user_id").values("user_id")[:size]).order_by("pk"))
        if users:
            numbers = _send_each(broadcast, users) if broadcast.is_personal else _send_to_all(broadcast, users)
            Part.objects.bulk_create(Part(message_id=number, broadcast=broadcast) for number in numbers)
            waiting.filter(user_id__lte=users[-1].pk).delete()
        more = waiting.exists()
        ended = {} if more else {"state": DONE, "finished": now}
        minutes = pace.add(broadcast.minutes, now, len(users))
        self._held.update(sent=F("sent") + len(users), paced=paced, minutes=minutes, problem="", **ended)
        return more


def _send_to_all(broadcast: Broadcast, users: list[User]) -> list[int]:
    """Send the same message to all of them. Return its number."""
    body = fields.fill_body(broadcast.body, {})
    subject = fields.fill_subject(broadcast.subject, {})
    (msgid,) = send_message(users, subject, body, together=True, attachments=files.attachments(broadcast))
    return [parse_msgid(msgid)]


def _send_each(broadcast: Broadcast, users: list[User]) -> list[int]:
    """Send each of them a message of their own. Return the numbers."""
    keys = [f"broadcast {broadcast.pk} user {user.pk}" for user in users]
    texts = letters(broadcast, users)
    personal = [Personal(user, *text, key) for user, text, key in zip(users, texts, keys, strict=True)]
    return send_personal(personal, files.attachments(broadcast))


def _most(broadcast: Broadcast) -> int:
    """Return how many recipients are in a transaction, during which SQLite has no other writer."""
    if not broadcast.is_personal:
        return PORTION
    return PERSONAL_WITH_FILES if broadcast.files.exists() else PERSONAL_PORTION


def _portion(broadcast: Broadcast, now: datetime, most: int) -> tuple[int, datetime | None]:
    """Return how many recipients the rate allows now, 0 if too few for a message, and the new value of `paced`."""
    if not broadcast.rate:
        return most, None
    each = timedelta(minutes=1) / broadcast.rate
    least = max(LEAST_BURST, each)
    paced = max(broadcast.paced or now - least, now - MOST_BURST)
    size = min(most, (now - paced) // each) if now - paced >= least else 0
    return size, paced + size * each
