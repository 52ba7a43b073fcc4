"""Expiry: drop posts, pings and invitations that have waited too long for a device.

A message's number is its time, so old messages are a range of numbers. Messages in a mailbox do not expire, since they
have arrived; `expire_in_mailboxes` is for sites that keep them for a limited time. Messages that keep a device's list
of groups and aliases up to date (`member`, `user`, …) do not expire either.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from ...models import Message, Node, QueueEntry
from ...protocol.values import format_msgid
from ...signals import messages_expired
from ..queue import reports
from ..queue.queue import discard_on_commit
from ..queue.routing import tell_marked_on_commit
from ..storage import sql

OPS = ("delivery", "notify", "ping", "invite")
MESSAGES, ENTRIES = 1000, 2000  # in one transaction


class Expired(NamedTuple):
    """The number up to which all messages are done, and how many queue entries were dropped."""

    up_to: int
    entries: int


@transaction.atomic
def expire(after: int, before: int, *, members: bool) -> Expired:
    """Drop some waiting messages with numbers above `after` and below `before`: the site's, or with `members`, all.

    Call it again with `up_to` as `after`, until `up_to` is `before` - 1. The reports of the site's messages end as
    EXPIRED, and the signal `messages_expired` is sent.
    """
    old = _old(after, before)
    old = old if members else old.filter(tracked=True)
    return _expire(old, before, ~Q(node__kind=Node.Kind.MAILBOX))


@transaction.atomic
def expire_in_mailboxes(after: int, before: int, *, large: bool) -> Expired:
    """Delete some messages of members' mailboxes, as `expire` drops waiting ones. With `large`, only over 64 KiB.

    Messages to the site itself are left to the site's handler.
    """
    old = _old(after, before)
    old = old.filter(spool__gt="") if large else old
    return _expire(old, before, Q(node__kind=Node.Kind.MAILBOX, node__user__is_site=False))


def _old(after: int, before: int) -> QuerySet[Message]:
    return Message.objects.filter(pk__gt=after, pk__lt=before, op__in=OPS).order_by("pk")


def _expire(old: QuerySet[Message], before: int, nodes: Q) -> Expired:
    """Drop the entries of some of the messages at nodes."""
    numbers = dict(old.values_list("pk", "tracked")[:MESSAGES])
    up_to = max(numbers) if len(numbers) == MESSAGES else before - 1
    waiting = QueueEntry.objects.filter(nodes, message_id__in=list(numbers))
    rows = list(waiting.order_by("message_id").values_list("node_id", "rank", "message_id")[:ENTRIES])
    if len(rows) == ENTRIES:
        up_to = rows[-1][2] - 1  # the last message may have more entries
    _drop(rows, {number for _, _, number in rows if numbers[number]})
    return Expired(up_to, len(rows))


def _drop(rows: list[tuple[int, int, int]], tracked: set[int]) -> None:
    if not rows:
        return
    now = timezone.now()
    # Servers that hold these messages in memory read the queues again.
    Node.objects.filter(pk__in={node for node, _, _ in rows}, server__isnull=False).update(start_over=now)
    reports.expired([(node, number) for node, _, number in rows if number in tracked], now)
    sql.delete_entries(rows)
    discard_on_commit(sql.delete_finished({number for _, _, number in rows}))
    tell_marked_on_commit()
    if tracked:
        msgids = [format_msgid(number) for number in sorted(tracked)]
        transaction.on_commit(partial(messages_expired.send_robust, sender=expire, msgids=msgids))
