"""Delete what has expired, what crashes have left behind, and what is kept for a limited time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from tmtp.models import Message
from tmtp.services.messages import expiry, sweeping
from tmtp.services.people import accounts, identities
from tmtp.services.queue import leases, receipts
from tmtp.services.storage.clock import clock

from . import retention
from .broadcasts import files
from .budget import Budget, repeat
from .conf import conf
from .models import Attempt, ReportChange

LOOKS = 26  # a tenth of the spool's folders, 50,000 messages and 130,000 entries

_sweeper = sweeping.Sweeper()  # remembers how far it has come, as long as this worker lives


def expire() -> int:
    """Drop what has waited longer than EXPIRE_AFTER. Return the number of dropped queue entries."""
    if conf.EXPIRE_AFTER is None:
        return 0
    members = bool(conf.EXPIRE_MEMBERS)
    run, before = f"expired, members {members}", clock.now() - int(conf.EXPIRE_AFTER * 1e9)
    return retention.each_once(run, "expiry begun anew", before, partial(expiry.expire, members=members), Budget())


def sweep() -> None:
    """End the leases of dead servers, and remove orphaned entries, messages and files, as a running server does.

    Also keep out the devices of members whose accounts were disabled in bulk.
    """
    accounts.follow_all()
    leases.end_dead()
    budget = Budget()
    for _ in range(LOOKS):
        if not budget:
            return
        found = _sweeper.look()
        if found:
            with transaction.atomic():
                sweeping.apply(found)


def purge() -> None:
    """Delete old reports, receipts, spent tokens, attempts without a message, unused files, django-q2's results."""
    budget = Budget()
    identities.forget_tokens()
    files.purge()
    Attempt.objects.exclude(Exists(Message.objects.filter(pk=OuterRef("pk")))).delete()
    if not conf.REPORT_HANDLER:
        ReportChange.objects.all().delete()  # of a handler that is no longer set
    repeat(receipts.purge, budget)
    repeat(_purge_results, budget)
    retention.delete_old()


def _purge_results() -> int:
    """Delete old results, of which django-q2 keeps each failure for ever. Return the number of deleted rows."""
    from django_q.models import Task

    old = Task.objects.filter(stopped__lt=timezone.now() - timedelta(seconds=conf.RESULTS_KEPT))
    deleted: int = Task.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:1000])).delete()[0]
    return deleted
