"""How a broadcast gets out: its recipients are written down once, then sent to, a portion in one transaction each.

Whoever works at it holds a claim that expires, so it goes on elsewhere when they die. Should two work at it all the
same, each portion is still sent by one: it locks the broadcast and takes its recipients out in the same transaction.
"""

from __future__ import annotations

import secrets
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
from tmtp.services.messages.sending import send_message
from tmtp.services.people.linking import users_of

from ..conf import conf
from ..work import let_others_write
from . import audience
from .models import Broadcast, Part, Recipient
from .verbs import pause

PORTION = 1000  # recipients of one message, in one transaction
LEAST_BURST = timedelta(seconds=10)  # how much of its rate is worth a message
MOST_BURST = timedelta(minutes=2)  # how much of it a broadcast may catch up with
RUNNING, DONE = Broadcast.State.RUNNING, Broadcast.State.DONE


def work(pk: int, go_on: Callable[[], Any]) -> bool:
    """Send a broadcast on; says whether there is more to send at once.

    `go_on()` is asked before each portion. Does nothing when somebody else is at it, or it does not run. Raises what
    goes wrong, and can then be called again. What only a person can mend pauses it, with the reason.
    """
    claim = _take(pk)
    if not claim:
        return False
    turn = _Turn(pk, claim)
    try:
        while go_on():
            begun = time.monotonic()
            if not turn.step():
                return False
            let_others_write(time.monotonic() - begun)
        return True
    except Refused as refused:
        with suppress(Refused):
            pause(Broadcast.objects.get(pk=pk), refused.text_for_people())
        return False
    finally:
        Broadcast.objects.filter(pk=pk, claim=claim).update(claim="", claimed_until=None)


def unattended() -> QuerySet[Broadcast]:
    """The broadcasts that run and that nobody works at, those aside that have to wait because of their rate."""
    now = timezone.now()
    due = Q(rate=None) | Q(paced=None) | Q(paced__lt=now - LEAST_BURST)
    return Broadcast.objects.filter(_free(), due, state=RUNNING).order_by("pk")


def _free() -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lt=timezone.now())


def _take(pk: int) -> str:
    """A claim to a running broadcast that nobody holds; empty when there is none to have."""
    claim = secrets.token_hex(8)
    mine = Broadcast.objects.filter(_free(), pk=pk, state=RUNNING)
    return claim if mine.update(claim=claim, claimed_until=_expiry()) else ""


def _expiry() -> datetime:
    return timezone.now() + timedelta(seconds=conf.CLAIM_FOR)


class _Turn:
    """Work at a broadcast while a claim holds."""

    def __init__(self, pk: int, claim: str) -> None:
        self._mine = Broadcast.objects.filter(pk=pk, claim=claim, state=RUNNING)
        self._last_account: Any = None

    @transaction.atomic
    def step(self) -> bool:
        """Do the next thing, in a transaction; says whether there may be more to do."""
        broadcast = self._mine.select_for_update().first()
        if broadcast is None:
            return False
        self._mine.update(claimed_until=_expiry())
        if broadcast.chosen:
            return self._send(broadcast)
        audience.check(broadcast)
        if not self._make_users(broadcast):
            self._choose(broadcast)
        return True

    def _make_users(self, broadcast: Broadcast) -> bool:
        """Make users of some accounts that are none yet; says whether there were any."""
        accounts = audience.newcomers(broadcast).order_by("pk").only("pk")
        if self._last_account is not None:
            accounts = accounts.filter(pk__gt=self._last_account)
        some = list(accounts[:PORTION])
        if some:
            users_of(some)
            self._last_account = some[-1].pk
        return bool(some)

    def _choose(self, broadcast: Broadcast) -> None:
        """Write down whom it is for, in one statement."""
        this = Value(broadcast.pk, BigIntegerField())
        rows, values = audience.users(broadcast).values_list(this, "pk").query.sql_with_params()
        table = connection.ops.quote_name(Recipient._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} (broadcast_id, user_id) {rows}", values)
            self._mine.update(chosen=timezone.now(), total=cursor.rowcount)

    def _send(self, broadcast: Broadcast) -> bool:
        """Send the next portion, and take its recipients out."""
        now = timezone.now()
        size, paced = _portion(broadcast, now)
        if not size:
            return False
        waiting = Recipient.objects.filter(broadcast=broadcast)
        users = list(User.objects.filter(pk__in=waiting.order_by("user_id").values("user_id")[:size]).order_by("pk"))
        if users:
            (msgid,) = send_message(users, broadcast.subject, broadcast.body, together=True)
            Part.objects.create(message_id=parse_msgid(msgid), broadcast=broadcast)
            waiting.filter(user_id__lte=users[-1].pk).delete()
        more = waiting.exists()
        ended = {} if more else {"state": DONE, "finished": now}
        self._mine.update(sent=F("sent") + len(users), paced=paced, problem="", **ended)
        return more


def _portion(broadcast: Broadcast, now: datetime) -> tuple[int, datetime | None]:
    """How many may be sent to now, and up to when the rate is used then: as soon as that is worth a message."""
    if not broadcast.rate:
        return PORTION, None
    each = timedelta(minutes=1) / broadcast.rate
    least = max(LEAST_BURST, each)
    paced = max(broadcast.paced or now - least, now - MOST_BURST)
    size = min(PORTION, (now - paced) // each) if now - paced >= least else 0
    return size, paced + size * each
