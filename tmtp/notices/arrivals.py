"""Find new messages in the mailboxes of members with a subscribed browser, and decide of which they are told.

A message counts as new for as long as one with a lower number may still be committed. Each is decided on once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from tmtp.delivery import last_runs
from tmtp.delivery.one_of_many import guarded
from tmtp.delivery.workers import run_soon
from tmtp.mailbox import index
from tmtp.mailbox.models import Entry
from tmtp.mailbox.positions import Position
from tmtp.models import Message, Node, QueueEntry
from tmtp.services.messages.fanout import LATE
from tmtp.services.storage.clock import clock
from tmtp.times import number_at

from .looking import LOOKING, is_looking
from .models import Decided, Preferences, Push, Subscription
from .rules import Rules, rules_of

AT_ONCE = 200  # mailboxes looked up together
REQUESTED = "pushes asked for"  # the name of the last run
TASK = "tmtp.notices.tasks.push"


def request_pushes(**_: Any) -> None:
    """Have a worker run `tasks.push` soon if there is something for it. Receives `tmtp.signals.messages_arrived`."""
    if Subscription.objects.exists() and undecided().exists() and last_runs.start(REQUESTED, timedelta(minutes=1)):
        run_soon(TASK)


def undecided() -> QuerySet[QueueEntry]:
    """Return the queue entries of new messages in mailboxes of members with a subscribed browser."""
    subscribed = Subscription.objects.filter(account=OuterRef("user__account"))
    mailboxes = Node.objects.filter(Exists(subscribed), kind=Node.Kind.MAILBOX, dropped=None)
    decided = Decided.objects.filter(node=OuterRef("node_id"), number=OuterRef("message_id"))
    there = Message.objects.filter(pk=OuterRef("message_id"))  # not so for a post to many that is still being written
    new = QueueEntry.objects.filter(rank=QueueEntry.Rank.NORMAL, message_id__gt=clock.now() - LATE)
    return new.filter(Exists(there), ~Exists(decided), node__in=mailboxes)


def decide_some() -> int:
    """Decide on the new messages of some mailboxes, and return the number of mailboxes that had any."""
    nodes = list(undecided().values_list("node", flat=True).distinct()[:AT_ONCE])
    for node in Node.objects.filter(pk__in=nodes).select_related("user__account"):
        if not guarded(decide, node):
            guarded(_leave_out, node)
    return len(nodes)


def _leave_out(node: Node) -> None:
    """Count the new messages of a mailbox as decided on, since deciding has failed: others would wait for them."""
    numbers = undecided().filter(node=node).values_list("message_id", flat=True)
    Decided.objects.bulk_create([Decided(node=node, number=number) for number in numbers], ignore_conflicts=True)


def decide(node: Node) -> bool:
    """Decide of which new messages in a mailbox its member is told, and note what is to be sent to which browser.

    Return True.
    """
    index.catch_up(node)
    with transaction.atomic():
        account: Any = node.user.account
        Preferences.objects.get_or_create(account=account)
        Preferences.objects.select_for_update().get(account=account)  # two workers decide one after the other
        numbers = list(undecided().filter(node=node).values_list("message_id", flat=True))
        Decided.objects.bulk_create([Decided(node=node, number=number) for number in numbers])
        _note(account, _wanted(node, rules_of(account), numbers))
    return True


def _wanted(node: Node, rules: Rules, numbers: Iterable[int]) -> list[Entry]:
    """Return those of the messages that the member is told of: the newest of each thread, oldest first."""
    if rules.is_quiet(timezone.now()):
        return []
    entries = unread(node).filter(number__in=list(numbers))
    newest = {entry.thread_id: entry for entry in entries if rules.wants(entry.thread, "push")}
    return list(newest.values())


def unread(node: Node) -> QuerySet[Entry]:
    """Return the unread messages in a mailbox, oldest first, without those of archived threads."""
    entries = Entry.objects.filter(node=node, read=None, deleted=None, thread__archived=False)
    return entries.select_related("thread").order_by("number")


def _note(account: Any, entries: Iterable[Entry]) -> None:
    """Note that these messages are to be sent to the member's browsers, in place of older ones of their threads.

    A page in front of the member shows what is new. If the page is left soon, and the message is still unread, it is
    sent then.
    """
    now, subscriptions = timezone.now(), list(Subscription.objects.filter(account=account))
    at = now + LOOKING if is_looking(account) else now
    for entry in entries:
        for one in subscriptions:
            if entry.number > number_at(one.created):
                news = {"number": entry.number, "tries": 0, "next_try": at}
                Push.objects.update_or_create(subscription=one, thread=entry.thread.key, defaults=news)


def forget_old() -> None:
    """Forget decisions on messages that do not count as new any more."""
    Decided.objects.filter(number__lt=clock.now() - 2 * LATE).delete()


def new_for(node: Node, rules: Rules, after: Position, most: int) -> list[Entry]:
    """Return unread messages after a position for notices of open pages: the newest of each thread, at most `most`."""
    if rules.is_quiet(timezone.now()):
        return []
    entries = after.after(unread(node)).order_by("-number")[: 4 * most]
    newest = {entry.thread_id: entry for entry in reversed(entries) if rules.wants(entry.thread, "desktop")}
    return list(newest.values())[-most:]


def before_the_last(node: Node, after: Position, end: Position, number: int) -> Position:
    """Return the last position between two that is before all unread messages above a number."""
    first = after.after(unread(node)).filter(number__gt=number).order_by("pk").values_list("pk", flat=True).first()
    if first is None:
        return end
    return Position(max(after.number, min(end.number, number)), first - 1)
