"""Recall a message from the devices that have not received it yet."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from ...models import Node, QueueEntry, Report, SentMessage
from ..queue.queue import discard_on_commit
from ..queue.reports import KEPT, end_of, find
from ..queue.routing import tell_marked_on_commit
from ..storage import sql


class Recalled(NamedTuple):
    """The number of devices and mailboxes that a message was taken back from, and of those that keep it."""

    taken_back: int
    kept: int


@transaction.atomic
def recall(msgid: str) -> Recalled:
    """Take back a message that the site sent. Devices that have it keep it, as do mailboxes where it has been read.

    If it is being sent to a device at this moment, it may still reach the device. The report of the device then says
    that it was acknowledged. Raise Refused if the site has sent no such message.
    """
    message = find(msgid)
    read = Report.objects.filter(message=message, read__isnull=False).values_list("node_id", flat=True)
    waiting = QueueEntry.objects.filter(message_id=message.pk).exclude(node_id__in=list(read))
    now = timezone.now()
    nodes = list(waiting.values_list("node_id", flat=True))
    take_back(message.pk, nodes)
    end_of(message.pk, Report.End.RECALLED)
    SentMessage.objects.filter(pk=message.pk).update(recalled=now)
    return Recalled(len(nodes), message.reports.filter(KEPT).count())


def take_back(number: int, nodes: Collection[int]) -> None:
    """Remove a message from the queues of these nodes. Needs a transaction of the caller's."""
    waiting = QueueEntry.objects.filter(message_id=number, node__in=nodes)
    entries = [(node, rank, number) for node, rank in waiting.values_list("node_id", "rank")]
    # Servers that hold the message in memory read the queues again.
    Node.objects.filter(pk__in=nodes, server__isnull=False).update(start_over=timezone.now())
    sql.delete_entries(entries)
    discard_on_commit(sql.delete_finished([number]))
    tell_marked_on_commit()
