"""Taking back what the site has sent: from the devices that do not have it yet."""

from __future__ import annotations

from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from ...models import Node, QueueEntry, Report, SentMessage
from ..queue.queue import discard_on_commit, wake_on_commit
from ..queue.reports import KEPT, OPEN, find
from ..storage import sql


class Recalled(NamedTuple):
    """From how many devices and mailboxes a message was taken back, and how many have it."""

    taken_back: int
    kept: int


@transaction.atomic
def recall(msgid: str) -> Recalled:
    """Take back a message that the site sent. Who has it, or has read it in the mailbox, keeps it.

    What is leaving for a connected device at this moment may still reach it; the report then says both. Raises
    Refused when the site has sent no such message.
    """
    message = find(msgid)
    read = Report.objects.filter(message=message, read__isnull=False).values_list("node_id", flat=True)
    waiting = QueueEntry.objects.filter(message_id=message.pk).exclude(node_id__in=list(read))
    now = timezone.now()
    # The servers that hold it in memory read their queues again.
    Node.objects.filter(pk__in=waiting.values("node_id"), server__isnull=False).update(start_over=now)
    entries = [(node, rank, message.pk) for node, rank in waiting.values_list("node_id", "rank")]
    sql.delete_entries(entries)
    discard_on_commit(sql.delete_finished([message.pk]))
    message.reports.filter(OPEN).update(ended=now, end=Report.End.RECALLED)
    SentMessage.objects.filter(pk=message.pk).update(recalled=now)
    wake_on_commit()
    return Recalled(len(entries), message.reports.filter(KEPT).count())
