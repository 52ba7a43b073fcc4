"""Send notices to push services, which pass them on to browsers (RFC 8030). Only these can read them (RFC 8291)."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests
from django.db import InterfaceError, OperationalError
from django.db.models import F
from django.utils import timezone

from tmtp.delivery import claims
from tmtp.delivery.in_time import in_time
from tmtp.delivery.languages import in_language_of
from tmtp.mailbox.models import Entry
from tmtp.models import Node, QueueEntry

from . import push_sessions, vapid
from .conf import conf
from .looking import is_looking
from .models import Kind, Push, Subscription
from .rules import kind_of, rules_of
from .subscriptions import is_signed_in
from .texts import notice_of

log = logging.getLogger("tmtp.notices")
AT_ONCE = push_sessions.AT_ONCE
TRIES = 6  # the last one comes about 16 minutes after the first
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
TIMEOUT = 10.0  # seconds without an octet
WHOLE = 30.0  # seconds for all of a request and its answer
GONE = (404, 410)
LATER = (408, 425, 429)  # and all from 500


@dataclass(frozen=True)
class Request:
    """What is sent to a push service."""

    push: Push
    text: str
    topic: str
    urgency: str


@dataclass(frozen=True)
class Answer:
    """The status of the answer, or 0 without one, and for how long it asks to wait."""

    status: int
    pause: timedelta | None = None
    problem: str = ""


def send_some(session: requests.Session) -> int:
    """Send some of the notices that are due, each unless another worker does. Return how many were looked at.

    Raise NoKey.
    """
    due = Push.objects.filter(claims.is_free(), next_try__lte=timezone.now()).order_by("next_try")
    pushes = list(due.select_related("subscription__account")[:AT_ONCE])
    if not pushes:
        return 0
    key = vapid.key()
    prepared = [_prepare_or_postpone(push) for push in pushes if _take(push)]
    ready = [one for one in prepared if one is not None]
    with ThreadPoolExecutor(AT_ONCE) as threads:  # they only wait for the network, and use no database
        answers = list(threads.map(lambda one: _post_in_time(one, key, session), ready))
    for request, answer in zip(ready, answers, strict=True):
        _finish(request.push, answer)
    return len(pushes)


def _take(push: Push) -> bool:
    push.claim = claims.take(Push.objects.filter(pk=push.pk, number=push.number), tries=F("tries") + 1)
    push.tries += 1
    return bool(push.claim)


def _held(push: Push) -> Any:
    """Return the row, unless a newer message has taken the place of the one that was sent."""
    return claims.held(Push.objects.filter(pk=push.pk, number=push.number), push.claim)


def _prepare_or_postpone(push: Push) -> Request | None:
    """Do as `_prepare`. What cannot be prepared is tried again like what a push service has not accepted."""
    try:
        return _prepare(push)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        _finish(push, Answer(0, problem=type(error).__name__))
        return None


def _prepare(push: Push) -> Request | None:
    """Return what is to be sent.

    Forget the notice if the message was read or is gone, or the member has signed out or looks at a page.
    """
    if not is_signed_in(push.subscription):
        push.subscription.delete()
        return None
    entry = _unread_entry(push)
    if entry is None:
        _held(push).delete()
        return None
    if is_looking(push.subscription.account):  # and did when the message came, or a moment ago
        _done(push)
        return None
    rules = rules_of(push.subscription.account)
    with in_language_of(push.subscription.account, rules.preferences.language):
        text = json.dumps(notice_of(entry, rules.preferences), ensure_ascii=False)
    urgency = "high" if kind_of(entry.thread) == Kind.PINGS else "normal"
    return Request(push, text, topic_of(push.thread), urgency)


def _unread_entry(push: Push) -> Entry | None:
    """Return the message if it waits unread in the member's mailbox."""
    account = push.subscription.account
    mailboxes = Node.objects.filter(user__account=account, kind=Node.Kind.MAILBOX, dropped=None)
    entries = Entry.objects.filter(node__in=mailboxes, number=push.number, read=None, deleted=None).select_related(
        "thread"
    )
    there = QueueEntry.objects.filter(node__in=mailboxes, rank=QueueEntry.Rank.NORMAL, message_id=push.number)
    return entries.first() if there.exists() else None


def topic_of(thread: str) -> str:
    """Return the topic of a thread's notices: a newer one replaces one that still waits (RFC 8030 section 5.4)."""
    return base64.urlsafe_b64encode(hashlib.sha256(thread.encode()).digest()[:24]).decode()


def _post_in_time(request: Request, key: Any, session: requests.Session) -> Answer:
    """Post a notice. A push service that does not end its answer keeps back no other notices."""
    try:
        return in_time(lambda: _post(request, key, session), WHOLE)
    except TimeoutError as error:
        return Answer(0, problem=str(error))


def _post(request: Request, key: Any, session: requests.Session) -> Answer:
    """Post a notice to its push service. This runs in a thread, and uses no database."""
    from pywebpush import WebPushException, webpush

    try:
        answer: Any = webpush(
            request.push.subscription.info,
            request.text,
            vapid_private_key=key,
            vapid_claims={"sub": vapid.contact()},
            headers={"Urgency": request.urgency, "Topic": request.topic},
            ttl=int(conf.PUSH_TTL),
            timeout=TIMEOUT,
            requests_session=session,
        )
    except WebPushException as error:
        if error.response is None:
            return Answer(400, problem="cannot be encrypted")
        return Answer(error.response.status_code, _asked_pause(error.response), error.response.reason)
    except requests.RequestException as error:
        return Answer(0, problem=type(error).__name__)
    except Exception as error:  # one that cannot be sent must not keep back the others
        return Answer(400, problem=type(error).__name__)
    return Answer(answer.status_code)


def _asked_pause(response: Any) -> timedelta | None:
    asked = response.headers.get("Retry-After", "")
    return timedelta(seconds=int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 6 else None


def _finish(push: Push, answer: Answer) -> None:
    """Forget a notice that was sent or never can be, and a browser that is gone. Try others again, later each time."""
    if answer.status in (200, 201, 202):
        _done(push)
    elif answer.status in GONE:
        Subscription.objects.filter(pk=push.subscription_id, endpoint=push.subscription.endpoint).delete()
    elif (answer.status and answer.status not in LATER and answer.status < 500) or push.tries >= TRIES:
        log.warning("a notice was not accepted: %s %s", answer.status or "no answer", answer.problem)
        _done(push)
    else:
        pause = max(FIRST_PAUSE * 2 ** (push.tries - 1), answer.pause or timedelta())
        claims.release(_held(push), next_try=timezone.now() + min(pause, LONGEST_PAUSE))


def _done(push: Push) -> None:
    """Forget a notice. If a newer message of the thread came meanwhile, its notice stays, and is free."""
    if not _held(push).delete()[0]:
        claims.release(claims.held(Push.objects.filter(pk=push.pk), push.claim))
