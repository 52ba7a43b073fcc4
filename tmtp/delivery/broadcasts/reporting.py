"""Count what became of a broadcast.

The database counts 100,000 recipients in a third of a second. So the counts are stored with the broadcast, and renewed
now and then. They outlive the reports that they were counted from.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from tmtp.services.queue.reports import State, summary

from .models import Broadcast

FRESH = timedelta(seconds=10)  # for each 100,000 recipients, how long counts are used
RECIPIENTS = 100_000


def report(broadcast: Broadcast) -> dict[str, int]:
    """Return the number of recipients by the value of their state (`tmtp.services.queue.reports.State`)."""
    if broadcast.report is None or not _is_fresh(broadcast):
        counts = {state.value: number for state, number in summary(broadcast.messages).items()}
        if broadcast.report is None or sum(counts.values()) >= sum(broadcast.report.values()):
            broadcast.report = counts
        broadcast.reported = timezone.now()
        Broadcast.objects.filter(pk=broadcast.pk).update(report=broadcast.report, reported=broadcast.reported)
    return {state.value: broadcast.report.get(state.value, 0) for state in State}


def _is_fresh(broadcast: Broadcast) -> bool:
    good_for = FRESH * max(1, broadcast.sent / RECIPIENTS)
    return broadcast.reported is not None and timezone.now() - broadcast.reported < good_for
