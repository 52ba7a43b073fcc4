"""Keep the index of a mailbox in step with its queue.

Numbers rise with time, so new messages have numbers above the newest one in the index, or a little below it: a message
that was numbered first may commit last. Other differences are found by comparing the index with the whole queue. This
is done when the mailbox is first opened, newest messages first and some at a time, and then every COMPARED_EVERY.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from ..models import Alias, Message, Node, QueueEntry, User
from ..services.messages.fanout import LATE
from ..services.messages.mailbox import Received, look_up_names, remove
from . import search
from .models import Entry, Mailbox, Thread
from .participation import Participation
from .search import Words
from .summary import PEOPLE_MAX, SHOWN, Summary, summarise, summarise_unread, text_of

AT_ONCE = 200  # messages indexed in one transaction
AGAIN_AT_ONCE = 5  # messages that could not be read, and are tried again
GONE_AT_ONCE = 1000
PATIENCE = 0.3  # seconds that a page waits for the index
COMPARED_EVERY = timedelta(minutes=5)
NORMAL = QueueEntry.Rank.NORMAL


def catch_up(node: Node) -> bool:
    """Index new messages, and remove those that are gone. Return False if there is more to do after PATIENCE.

    A message that cannot be read is indexed by its header, and read again by later calls, AGAIN_AT_ONCE at a time.

    If there is nothing to do, this costs two short queries. Messages that have nothing for a person to read are
    acknowledged.
    """
    until = time.monotonic() + PATIENCE
    while not _catch_up_some(node):
        if time.monotonic() > until:
            return False
    return True


def _catch_up_some(node: Node) -> bool:
    """Do one step of `catch_up`, and return whether there is no more to do.

    Everything that takes long is done before the transaction: on SQLite, all other writers wait for its end.
    """
    mailbox, _ = Mailbox.objects.get_or_create(node=node)
    due = _is_due(mailbox)
    from_the_top = due and mailbox.reached is None
    gone_by, first = (_gone(mailbox), _first(mailbox)) if from_the_top else ([], [])
    numbers = _compared(mailbox) if due else _new(mailbox)
    again = _unread(mailbox) if mailbox.unreadable else []
    if not due and not numbers and not again:
        return mailbox.complete
    found = _read(node, [*numbers, *again])
    read_at_last = set(again) - found.unreadable
    with transaction.atomic():
        mailbox = Mailbox.objects.select_for_update().get(node=node)  # if two pages find a message, one indexes it
        if gone_by or read_at_last:
            forget(node, [*gone_by, *read_at_last])
        _acknowledge(node, [*first, *found.silent])
        _index(node, found)
        _note(mailbox, numbers, due)
        _note_unread(mailbox, found)
    return mailbox.complete and not read_at_last


def _is_due(mailbox: Mailbox) -> bool:
    checked = mailbox.checked
    return not mailbox.complete or checked is None or checked < timezone.now() - COMPARED_EVERY


def _new(mailbox: Mailbox) -> list[int]:
    """Return the numbers of new messages, at most AT_ONCE."""
    missing = _missing(mailbox).filter(message_id__gt=mailbox.newest - LATE)
    return list(missing.values_list("message_id", flat=True)[:AT_ONCE])


def _compared(mailbox: Mailbox) -> list[int]:
    """Return the numbers of missing messages below the point that the comparison has reached, at most AT_ONCE."""
    missing = _missing(mailbox)
    if mailbox.reached is not None:
        missing = missing.filter(message_id__lt=mailbox.reached)
    return list(missing.values_list("message_id", flat=True)[:AT_ONCE])


def _unread(mailbox: Mailbox) -> list[int]:
    """Return the numbers of some messages that could not be read: those that were tried least recently."""
    entries = Entry.objects.filter(node=mailbox.node_id, unreadable__isnull=False, deleted=None)
    return list(entries.order_by("unreadable").values_list("number", flat=True)[:AGAIN_AT_ONCE])


def _missing(mailbox: Mailbox) -> QuerySet[QueueEntry]:
    """Return the queue entries that are not in the index, newest first.

    Entries without a message are left out: they are those of a post to many that is still being written.
    """
    indexed = Entry.objects.filter(node=mailbox.node_id, number=OuterRef("message_id"))
    waiting = QueueEntry.objects.filter(~Exists(indexed), node=mailbox.node_id, rank=NORMAL)
    return waiting.filter(Exists(Message.objects.filter(pk=OuterRef("message_id")))).order_by("-message_id")


def _gone(mailbox: Mailbox) -> list[int]:
    """Return the numbers of indexed messages that have been recalled or have expired."""
    here = QueueEntry.objects.filter(node=OuterRef("node_id"), rank=NORMAL, message_id=OuterRef("number"))
    entries = Entry.objects.filter(~Exists(here), node=mailbox.node_id)
    return list(entries.values_list("number", flat=True)[:GONE_AT_ONCE])


def _first(mailbox: Mailbox) -> list[int]:
    """Return the numbers of `user` messages, which go first in the queue and have nothing for a person to read."""
    entries = QueueEntry.objects.filter(node=mailbox.node_id, rank=QueueEntry.Rank.FIRST)
    return list(entries.values_list("message_id", flat=True))


def _note(mailbox: Mailbox, numbers: Sequence[int], due: bool) -> None:
    """Note how far the index has come. `numbers` have been indexed, newest first."""
    more = len(numbers) >= AT_ONCE
    mailbox.newest = max([mailbox.newest, *numbers[:1]])
    if due:
        mailbox.complete, mailbox.reached, mailbox.checked = not more, numbers[-1] if more else None, timezone.now()
    elif more:
        mailbox.complete = False
    mailbox.save()


def _note_unread(mailbox: Mailbox, found: Found) -> None:
    """Note which messages could not be read, and whether there are any."""
    mine = Entry.objects.filter(node=mailbox.node_id)
    mine.filter(number__in=found.unreadable).update(unreadable=timezone.now())
    if found.unreadable or mailbox.unreadable:
        unreadable = mine.filter(unreadable__isnull=False, deleted=None).exists()
        Mailbox.objects.filter(pk=mailbox.pk).update(unreadable=unreadable)


@dataclass(frozen=True, slots=True)
class Found:
    """Messages to be indexed.

    `silent` are the numbers of those that have nothing for a person to read, `unreadable` those that cannot be read.
    """

    summaries: Sequence[tuple[Summary, Words]]
    silent: Sequence[int]
    unreadable: set[int]
    participation: Participation


def _read(node: Node, numbers: Iterable[int]) -> Found:
    messages = Message.objects.filter(pk__in=list(numbers)).select_related("sender").order_by("pk")
    received = [Received(message) for message in messages]
    look_up_names(received)
    participation = Participation(node, received)
    uids = _uids_behind(received, node.user)
    summaries: list[tuple[Summary, Words]] = []
    silent: list[int] = []
    unreadable: dict[int, Received] = {}
    for one in received:
        if not one.is_readable:
            unreadable[one.number] = one
            continue
        summary = summarise(one, node.user, uids, one.op != "delivery" or participation.joins(one))
        if summary:
            summaries.append((summary, summary.words(node.pk, text_of(one))))
        else:
            silent.append(one.number)
    for number in gone(node, unreadable) if unreadable else ():  # they have just been removed
        del unreadable[number]
    unread = [summarise_unread(one, node.user) for one in unreadable.values() if one.op in SHOWN]
    summaries += [(summary, summary.words(node.pk, "")) for summary in unread]
    return Found(summaries, silent, set(unreadable), participation)


def _index(node: Node, all_found: Found) -> None:
    there = Entry.objects.filter(node=node, number__in=[one.number for one, _ in all_found.summaries])
    known = set(there.values_list("number", flat=True))
    found = [(one, its) for one, its in all_found.summaries if one.number not in known]
    threads = _threads(node, [summary for summary, _ in found], all_found.participation)
    now = timezone.now()
    entries = Entry.objects.bulk_create(
        Entry(
            node=node,
            number=one.number,
            thread=threads[one.key],
            kind=one.kind,
            uid=one.uid,
            alias=one.alias,
            subject=one.subject,
            read=None if one.news else now,
        )
        for one, _ in found
    )
    search.add([(entry.pk, its) for entry, (_, its) in zip(entries, found, strict=True)])
    _return_to_inbox([one for one, _ in found], threads)
    count(node, [thread.pk for thread in threads.values()])


def _acknowledge(node: Node, numbers: Iterable[int]) -> None:
    numbers = list(numbers)
    if numbers:
        remove(node, numbers)


def _uids_behind(messages: Sequence[Received], me: User) -> dict[str, str]:
    """Return the uids of the users whom the member has pinged, by the aliases that were used."""
    names = {str(one.header.get("to")) for one in messages if one.op == "ping" and one.header.get("from") == me.uid}
    holders = Alias.objects.filter(name__in=names, user__isnull=False) if names else Alias.objects.none()
    return dict(holders.values_list("name", "user__uid"))


def _threads(node: Node, found: Sequence[Summary], participation: Participation) -> dict[str, Thread]:
    """Create and update the threads of messages, and return them by key. The first message sets the subject."""
    there = Thread.objects.filter(node=node, key__in={one.key for one in found} | participation.extended)
    threads = {thread.key: thread for thread in there}
    changed: dict[str, Thread] = {}
    for one in found:
        thread = threads.get(one.key)
        if thread is None:
            thread = changed[one.key] = threads[one.key] = Thread(node=node, key=one.key, first=one.number)
        if one.number <= thread.first or not thread.subject:
            thread.subject, thread.first = one.subject, min(one.number, thread.first)
            changed[one.key] = thread
        people = list(dict.fromkeys([*thread.people, *one.people]))[:PEOPLE_MAX]
        if people != thread.people:
            thread.people = people
            changed[one.key] = thread
    changed |= {key: thread for key, thread in threads.items() if participation.note(thread)}
    # bulk_update would take ten times as long
    Thread.objects.bulk_create(
        [thread for thread in changed.values() if thread.pk],
        update_conflicts=True,
        unique_fields=["pk"],
        update_fields=["subject", "first", "people", "participants", "from_site"],
    )
    Thread.objects.bulk_create([thread for thread in changed.values() if not thread.pk])
    return threads


def _return_to_inbox(found: Sequence[Summary], threads: dict[str, Thread]) -> None:
    """Move archived threads with new messages of others back to the inbox, unless they are muted.

    A message that is much older than the thread's newest one is not new, only found late.
    """
    back = set()
    for one in found:
        thread = threads[one.key]
        if one.news and thread.archived and not thread.muted and one.number > (thread.latest or 0) - LATE:
            back.add(thread.pk)
    if back:
        Thread.objects.filter(pk__in=back).update(archived=False)


def count(node: Node, threads: Iterable[int]) -> None:
    """Count the messages of these threads again, and forget threads without any, deleted ones included."""
    wanted = sorted(set(threads))
    if not wanted:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(", ".join(["%s"] * len(wanted))), [node.user.uid, *wanted])
        if cursor.rowcount < len(wanted):
            Thread.objects.filter(~Exists(Entry.objects.filter(thread=OuterRef("pk"))), pk__in=wanted).delete()


# With the ORM, each of these would be a subquery, which reads all messages of a thread again.
_COUNT = """
UPDATE tmtp_mailbox_thread SET
  messages = found.messages, unread = found.unread, first = found.first, latest = found.latest, sent = found.sent,
  deleted = found.deleted
FROM (
  SELECT thread_id, MIN(number) AS first,
    COUNT(*) FILTER (WHERE deleted IS NULL) AS messages,
    COUNT(*) FILTER (WHERE deleted IS NULL AND read IS NULL) AS unread,
    MAX(number) FILTER (WHERE deleted IS NULL) AS latest,
    MAX(number) FILTER (WHERE deleted IS NULL AND uid = %s AND kind <> 'member') AS sent,
    MAX(number) FILTER (WHERE deleted IS NOT NULL) AS deleted
  FROM tmtp_mailbox_entry WHERE thread_id IN ({}) GROUP BY thread_id
) AS found
WHERE tmtp_mailbox_thread.id = found.thread_id
"""


def gone(node: Node, numbers: Iterable[int]) -> list[int]:
    """Return those of the messages that are not in the mailbox any more: recalled or expired."""
    numbers = list(numbers)
    waiting = QueueEntry.objects.filter(node=node, rank=NORMAL, message_id__in=numbers)
    here = set(waiting.values_list("message_id", flat=True))
    return [number for number in numbers if number not in here]


def lock(node: Node) -> None:
    """Lock the mailbox's index until the end of the transaction: counts are of what nobody changes meanwhile."""
    Mailbox.objects.select_for_update().get_or_create(node=node)


def delete(node: Node, numbers: Iterable[int]) -> None:
    """Delete messages for good, AT_ONCE in each transaction. This acknowledges them."""
    numbers = list(numbers)
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        with transaction.atomic():
            forget(node, some)
            remove(node, some)


@transaction.atomic
def forget(node: Node, numbers: Iterable[int]) -> None:
    """Remove messages from the index."""
    lock(node)
    entries = Entry.objects.filter(node=node, number__in=list(numbers))
    rows = list(entries.values_list("pk", "thread"))
    if not rows:
        return
    search.forget([pk for pk, _ in rows])
    Entry.objects.filter(pk__in=[pk for pk, _ in rows]).delete()
    count(node, {thread for _, thread in rows})
