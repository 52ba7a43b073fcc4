"""What is cleared away: what has expired, what crashes have left behind, and what is kept for a time only."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from tmtp.models import Message
from tmtp.services.messages import expiry, sweeping
from tmtp.services.people import identities
from tmtp.services.queue import leases, receipts, reports

from . import marks
from .conf import conf
from .models import Attempt
from .work import Budget, again

DAY = timedelta(days=1)
AT_ONCE = 20  # messages forgotten in one transaction: each may have a thousand reports
LOOKS = 26  # a tenth of the spool's folders, 50,000 messages and 130,000 entries

_sweeper = sweeping.Sweeper()  # remembers how far it has come, as long as this worker lives


def expire() -> int:
    """Drop what has waited longer than EXPIRE_AFTER; gives how many entries of queues.

    Each message is looked at once, when it becomes old enough; once a day, all are.
    """
    if conf.EXPIRE_AFTER is None:
        return 0
    members = bool(conf.EXPIRE_MEMBERS)
    mark = f"expired, members {members}"
    if marks.take("expiry begun anew", DAY):
        marks.set_mark(mark, 0)
    before = time.time_ns() - int(conf.EXPIRE_AFTER * 1e9)
    dropped, budget = 0, Budget()

    def step() -> int:
        nonlocal dropped
        after = marks.number_of(mark)
        if after >= before - 1:
            return 0
        done = expiry.expire(after, before, members=members)
        marks.set_mark(mark, done.up_to)
        dropped += done.entries
        return 1

    again(step, budget)
    return dropped


def sweep() -> None:
    """End the leases of dead servers; remove orphans: entries, messages, files. A running server does this too."""
    leases.end_dead()
    budget = Budget()
    for _ in range(LOOKS):
        if not budget:
            return
        found = _sweeper.look()
        if found:
            with transaction.atomic():
                sweeping.remove(found)


def purge() -> None:
    """Forget what was kept for a time: reports, receipts, spent tokens, attempts, django-q2's failures."""
    budget = Budget()
    identities.forget_tokens()
    Attempt.objects.exclude(Exists(Message.objects.filter(pk=OuterRef("pk")))).delete()
    again(receipts.purge, budget)
    if conf.REPORTS_KEPT is not None:
        before = timezone.now() - timedelta(seconds=conf.REPORTS_KEPT)
        again(lambda: reports.purge(before, AT_ONCE), budget)
    again(_purge_results, budget)


def _purge_results() -> int:
    """django-q2 keeps each failure for ever."""
    from django_q.models import Task

    old = Task.objects.filter(stopped__lt=timezone.now() - timedelta(seconds=conf.RESULTS_KEPT))
    return Task.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:1000])).delete()[0]
