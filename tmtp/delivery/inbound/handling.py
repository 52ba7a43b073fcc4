"""Call the site's handler with what waits in the site's mailbox: each message in turn, again later when that fails.

A message stays in the mailbox until the handler has returned, so it is never lost. The worker in which the handler
runs holds a claim on the message (`tmtp.delivery.claims`). So no message is handled twice at the same time, but one is
handled again when its worker died before it was acknowledged.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable, Container
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from tmtp.conf import import_dotted
from tmtp.models import Message, Node
from tmtp.services.messages.mailbox import messages_of, remove
from tmtp.services.storage.unreadable import Unreadable

from .. import claims, last_runs
from ..budget import Budget
from ..conf import conf
from ..one_of_many import guarded
from ..workers import run_soon
from .messages import REPORT, InboundMessage, is_for_handler
from .models import Attempt

log = logging.getLogger("tmtp.delivery")
REQUESTED = "answers asked for"  # the name of the last run
TASK = "tmtp.delivery.tasks.answers"
PAGE = 50
ERROR_MAX = 4000  # characters of an error that are kept
LONGEST_PAUSE = timedelta(days=1)
Handler = Callable[[InboundMessage], Any]


def request_handling(**_: Any) -> None:
    """Have a worker run `TASK` soon, unless that was requested already. Receives `tmtp.signals.site_received`."""
    if (conf.HANDLER or conf.REPORT_HANDLER) and last_runs.start(REQUESTED, timedelta(minutes=1)):
        run_soon(TASK)


def handle_messages() -> None:
    """Handle the messages that are due, for as long as a task may; request another task for the rest."""
    handlers, mailbox = find_handlers(), site_mailbox()
    last_runs.reset(REQUESTED)  # first: what arrives from now on may request another task
    if not handlers or mailbox is None:
        return
    budget = Budget()
    while messages := list(due(mailbox, handlers)[:PAGE]):
        for message in messages:
            if not budget:
                request_handling()
                return
            guarded(lambda one: handle(handlers[one.op == REPORT], InboundMessage(one, mailbox)), message)


def find_handlers() -> dict[bool, Handler]:
    """Return the handlers that are set: by False that of answers, by True that of reports. Raise ImportError."""
    named = {False: conf.HANDLER, True: conf.REPORT_HANDLER}
    return {of_reports: import_dotted(path) for of_reports, path in named.items() if path}


def site_mailbox() -> Node | None:
    """Return the node where messages to the site wait; None when it has not been made yet."""
    return Node.objects.filter(user__is_site=True, kind=Node.Kind.MAILBOX, dropped=None).first()


def due(mailbox: Node, handlers: Container[bool]) -> QuerySet[Message]:
    """Return the messages that may be handled now by one of these handlers, in the order they came."""
    not_now = Q(dead__isnull=False) | Q(next_try__gt=timezone.now()) | ~claims.is_free()
    waiting = messages_of(mailbox).exclude(Exists(Attempt.objects.filter(not_now, pk=OuterRef("pk"))))
    if False not in handlers:
        return waiting.filter(op=REPORT)
    return waiting if True in handlers else waiting.exclude(op=REPORT)


def handle(handler: Handler, message: InboundMessage) -> None:
    """Call the handler with a message, unless another worker holds it, and acknowledge it.

    Messages that no person wrote are only acknowledged.
    """
    attempt = take(message)
    if attempt is None:
        return
    try:
        wanted = is_for_handler(message)
        message.text  # noqa: B018 - everything that the handler may read can be read
    except Unreadable:
        fail(attempt, traceback.format_exc())
        return
    except Exception:
        fail(attempt, traceback.format_exc(), give_up=True)  # its file is gone, and does not come back
        return
    try:
        if wanted and attempt.tries > conf.HANDLER_TRIES:
            fail(attempt, attempt.error, give_up=True)
            return
        if wanted:
            with claims.renewing(_held(attempt)):
                _call(handler, message)
        message.acknowledge()
    except BaseException as error:  # django-q2 ends a task that takes too long with a SystemExit
        fail(attempt, traceback.format_exc())
        if not isinstance(error, Exception):
            raise


def _call(handler: Handler, message: InboundMessage) -> None:
    """Call the handler. Await what it returns, since an async function may hide under a decorator."""
    returned = handler(message)
    if inspect.isawaitable(returned):
        async_to_sync(_await)(returned)


async def _await(awaitable: Awaitable[Any]) -> None:
    await awaitable


def take(message: InboundMessage) -> Attempt | None:
    """Claim a message for one call of the handler. Return None when it is claimed, not due, or gone."""
    Attempt.objects.bulk_create([Attempt(message_id=message.number)], ignore_conflicts=True)
    waiting = Attempt.objects.filter(pk=message.number, dead=None, next_try__lte=timezone.now())
    died = _("The worker was killed while the handler ran.")
    claim = claims.take(waiting.exclude(claim=""), tries=F("tries") + 1, error=died)
    claim = claim or claims.take(waiting.filter(claim=""), tries=F("tries") + 1)
    if not claim:
        return None
    attempt = Attempt.objects.filter(pk=message.number).first()
    if attempt is None:  # somebody has just discarded it
        return None
    attempt.claim = claim
    # Another worker may have acknowledged it, and deleted its attempt, just before this one was made.
    if not messages_of(message.mailbox).filter(pk=message.number).exists():
        attempt.delete()
        return None
    return attempt


def fail(attempt: Attempt, error: str, give_up: bool = False) -> None:
    """Record an error. The next try comes after a pause, twice as long each time; after the last one there is none."""
    now, error = timezone.now(), _harmless(error)
    give_up = give_up or attempt.tries >= conf.HANDLER_TRIES
    pause = min(LONGEST_PAUSE, timedelta(seconds=conf.HANDLER_BACKOFF) * 2 ** min(attempt.tries - 1, 40))
    claims.release(_held(attempt), error=error[-ERROR_MAX:], next_try=now + pause, dead=now if give_up else None)
    last = error.strip().rpartition("\n")[2].partition(":")[0]  # the class: the text may quote the message
    if give_up:
        log.error("message %s is a dead letter after %s tries: %s", attempt, attempt.tries, last)
    else:
        log.warning("message %s is tried again in %s: %s", attempt, pause, last)


def _harmless(text: str) -> str:
    """Escape what is not visible, or not every database stores: an error may quote what a stranger wrote."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in text)


def _held(attempt: Attempt) -> QuerySet[Attempt]:
    return claims.held(Attempt.objects.filter(pk=attempt.pk), attempt.claim)


# for the admin


def try_again(attempts: QuerySet[Attempt]) -> int:
    """Make messages due, as if they had just come. Skip those that the handler has now. Return their number."""
    count = claims.release(attempts.filter(claims.is_free()), tries=0, dead=None, next_try=timezone.now())
    transaction.on_commit(request_handling)
    return count


@transaction.atomic
def discard(attempts: QuerySet[Attempt]) -> int:
    """Remove messages from the mailbox unhandled. Return their number."""
    numbers = list(attempts.values_list("pk", flat=True))
    mailbox = site_mailbox()
    if mailbox:
        remove(mailbox, numbers)
    Attempt.objects.filter(pk__in=numbers).delete()
    return len(numbers)
