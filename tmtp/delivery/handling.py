"""Gives what waits in the site's mailbox to its handler: each message in turn, again with pauses when that fails.

A message stays in the mailbox until the handler has returned, so it is never lost. Whoever handles one holds a claim
on it, renewed while the handler runs; what a killed worker held is free when its claim has run out. So a message is
never handled twice at the same time, but again when a worker died before it was acknowledged.
"""

from __future__ import annotations

import inspect
import logging
import secrets
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.db import Error, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from tmtp.models import Message, Node
from tmtp.services.messages.mailbox import messages_of, remove

from . import marks
from .addresses import import_dotted
from .answers import Answer, is_answer
from .conf import conf
from .models import Attempt
from .work import Budget, ask

log = logging.getLogger("tmtp.delivery")
ASKED = "answers asked for"
TASK = "tmtp.delivery.tasks.answers"
PAGE = 50
ERROR_MAX = 4000  # characters kept of what went wrong
LONGEST_PAUSE = timedelta(days=1)
Handler = Callable[[Answer], Any]


def ask_for_answers(**_: Any) -> None:
    """Have a worker look into the mailbox soon, unless one has been asked. Receives `tmtp.signals.site_received`."""
    if conf.HANDLER and marks.take(ASKED, timedelta(minutes=1)):
        ask(TASK)


def handle_answers() -> None:
    """Handle what is due, as long as a task may; what is left then is for another one."""
    handler, mailbox = find_handler(), site_mailbox()
    marks.clear(ASKED)  # before looking: for what comes from now on, another task may be asked for
    if handler is None or mailbox is None:
        return
    budget = Budget()
    while messages := list(due(mailbox)[:PAGE]):
        for message in messages:
            if not budget:
                ask_for_answers()
                return
            handle(handler, Answer(message, mailbox))


def find_handler() -> Handler | None:
    """What TMTP_DELIVERY["HANDLER"] names, None when it names nothing. Raises ImportError."""
    if not conf.HANDLER:
        return None
    handler: Handler = import_dotted(conf.HANDLER)
    return handler


def site_mailbox() -> Node | None:
    """Where answers wait; None while nobody has made it."""
    return Node.objects.filter(user__is_site=True, kind=Node.Kind.MAILBOX, dropped=None).first()


def due(mailbox: Node) -> QuerySet[Message]:
    """The messages that may be handled now, in the order they came."""
    now = timezone.now()
    taken = Q(dead__isnull=False) | Q(next_try__gt=now) | Q(claimed_until__gte=now)
    return messages_of(mailbox).exclude(Exists(Attempt.objects.filter(taken, pk=OuterRef("pk"))))


def handle(handler: Handler, answer: Answer) -> None:
    """Have one message handled, unless another worker is at it. What nobody wrote is only acknowledged."""
    claim = secrets.token_hex(16)
    attempt = take(answer, claim)
    if attempt is None:
        return
    try:
        wanted = is_answer(answer)
        answer.text  # noqa: B018 - all that the handler may ask for can be read
    except Exception:
        fail(attempt, traceback.format_exc(), give_up=True)  # its file is gone: it will not come back
        return
    try:
        if wanted and attempt.tries > conf.HANDLER_TRIES:
            fail(attempt, attempt.error, give_up=True)
            return
        if wanted:
            with renewing(attempt):
                _call(handler, answer)
        answer.acknowledge()
    except BaseException as error:  # django-q2 ends a task that takes too long with a SystemExit
        fail(attempt, traceback.format_exc())
        if not isinstance(error, Exception):
            raise


def _call(handler: Handler, answer: Answer) -> None:
    """Call the handler, and wait for the end of what it gives if that is async: it may be so under a decorator."""
    given = handler(answer)
    if inspect.isawaitable(given):
        async_to_sync(_end_of)(given)


async def _end_of(awaitable: Awaitable[Any]) -> None:
    await awaitable


def take(answer: Answer, claim: str) -> Attempt | None:
    """Claim a message, for one try; None when it is taken, not due, or gone."""
    Attempt.objects.bulk_create([Attempt(message_id=answer.number)], ignore_conflicts=True)
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    ours = Attempt.objects.filter(free, pk=answer.number, dead=None, next_try__lte=now)
    mine = {"claim": claim, "claimed_until": _claim_end(), "tries": F("tries") + 1}
    died = _("A worker was killed, or its machine stopped, while the handler ran.")
    if not (ours.exclude(claim="").update(error=died, **mine) or ours.filter(claim="").update(**mine)):
        return None
    attempt = Attempt.objects.get(pk=answer.number)
    # It may have been acknowledged, with its attempt, just before ours was made.
    if not messages_of(answer.mailbox).filter(pk=answer.number).exists():
        attempt.delete()
        return None
    return attempt


@contextmanager
def renewing(attempt: Attempt) -> Iterator[None]:
    """Renew a claim as long as the block runs."""
    ended = threading.Event()

    def renew() -> None:
        try:
            while not ended.wait(conf.CLAIM_FOR / 3):
                try:
                    _ours(attempt).update(claimed_until=_claim_end())
                except Error as error:
                    log.warning("a claim could not be renewed: %s", error)
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name="tmtp-delivery-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def fail(attempt: Attempt, error: str, give_up: bool = False) -> None:
    """Note what went wrong: it is tried again after a pause, twice as long each time, or it is a dead letter."""
    now, error = timezone.now(), _storable(error)
    give_up = give_up or attempt.tries >= conf.HANDLER_TRIES
    pause = min(LONGEST_PAUSE, timedelta(seconds=conf.HANDLER_BACKOFF) * 2 ** min(attempt.tries - 1, 40))
    _ours(attempt).update(
        claim="",
        claimed_until=None,
        error=error[-ERROR_MAX:],
        next_try=now + pause,
        dead=now if give_up else None,
    )
    last = error.strip().rpartition("\n")[2]
    if give_up:
        log.error("message %s is a dead letter after %s tries: %s", attempt, attempt.tries, last)
    else:
        log.warning("message %s is tried again in %s: %s", attempt, pause, last)


def _storable(text: str) -> str:
    """The text as any database keeps it: what a stranger wrote may be in an error's words."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _ours(attempt: Attempt) -> QuerySet[Attempt]:
    return Attempt.objects.filter(pk=attempt.pk, claim=attempt.claim)


def _claim_end() -> Any:
    return timezone.now() + timedelta(seconds=conf.CLAIM_FOR)


# what an admin does


def try_again(attempts: QuerySet[Attempt]) -> int:
    """Give messages to the handler again, as if for the first time; gives how many. Not those it has just now."""
    now = timezone.now()
    idle = attempts.exclude(claimed_until__gte=now)
    count = idle.update(tries=0, dead=None, next_try=now, claim="", claimed_until=None)
    transaction.on_commit(ask_for_answers)
    return count


@transaction.atomic
def discard(attempts: QuerySet[Attempt]) -> int:
    """Drop messages that nobody is to handle any more; gives how many."""
    numbers = list(attempts.values_list("pk", flat=True))
    mailbox = site_mailbox()
    if mailbox:
        remove(mailbox, numbers)
    Attempt.objects.filter(pk__in=numbers).delete()
    return len(numbers)
