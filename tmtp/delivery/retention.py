"""Delete what is kept for a limited time, as the settings say: some rows in each transaction.

What a run has deleted is in the audit log. Drafts and deleted messages of a mailbox have times of their own, which the
mailbox looks after itself (TMTP["DRAFTS_KEPT"], `tmtp.mailbox.trash`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.utils import timezone

from tmtp.services.messages import expiry
from tmtp.services.people import abuse, audit
from tmtp.services.queue import reports
from tmtp.times import number_at

from . import last_runs
from .budget import Budget, repeat
from .conf import conf
from .models import InboundThread

AT_ONCE = 20  # messages whose reports are deleted in one transaction: each may have a thousand
ROWS = 500
BEGUN_ANEW = timedelta(days=1)  # messages that were looked past are found once a day

Kept = float | None  # seconds; None: for ever


def delete_old() -> dict[str, int]:
    """Delete what is too old, for as long as a task may. Return how much of what was deleted, and record it."""
    budget = Budget()
    counts = {
        "messages in mailboxes": _mailboxes("MAILBOX_KEPT", conf.MAILBOX_KEPT, budget),
        "large messages in mailboxes": _mailboxes("LARGE_KEPT", conf.LARGE_KEPT, budget, large=True),
        "delivery reports": _older(conf.REPORTS_KEPT, _reports, budget),
        "reports of abuse": _older(conf.ABUSE_REPORTS_KEPT, lambda before: abuse.purge(before, ROWS), budget),
        "audit entries": _older(conf.AUDIT_KEPT, lambda before: audit.purge(before, ROWS), budget),
    }
    deleted = {what: count for what, count in counts.items() if count}
    if deleted:
        audit.record(audit.Action.RETENTION, **deleted)
    return deleted


def _older(kept: Kept, delete: Callable[[datetime], int], budget: Budget) -> int:
    if kept is None:
        return 0
    return repeat(partial(delete, timezone.now() - timedelta(seconds=kept)), budget)


def _reports(before: datetime) -> int:
    InboundThread.objects.filter(pk__lt=number_at(before)).delete()
    return reports.purge(before, AT_ONCE)


def _mailboxes(setting: str, kept: Kept, budget: Budget, *, large: bool = False) -> int:
    """Delete messages of mailboxes."""
    if kept is None:
        return 0
    run = f"retention {setting}"
    before = number_at(timezone.now() - timedelta(seconds=kept))
    return each_once(run, f"{run} begun anew", before, partial(expiry.expire_in_mailboxes, large=large), budget)


def each_once(
    run: str, begun_anew: str, before: int, expire: Callable[[int, int], expiry.Expired], budget: Budget
) -> int:
    """Let `expire` look at each message below the number `before` once; once a day, at all of them again.

    `run` and `begun_anew` are the names of the rows that remember how far it has come and when it began. `expire` gets
    the numbers that it looks between. Return the number of dropped queue entries.
    """
    if last_runs.start(begun_anew, BEGUN_ANEW):
        last_runs.record(run, 0)
    dropped = 0

    def step() -> int:
        nonlocal dropped
        after = last_runs.progress_of(run)
        if after >= before - 1:
            return 0
        done = expire(after, before)
        last_runs.record(run, done.up_to)
        dropped += done.entries
        return 1

    repeat(step, budget)
    return dropped
