"""What members do with threads: archive, star, mute, mark as read or unread, delete and restore them; and undo that.

- An archived thread is not in the inbox. It returns when somebody writes in it (`index`), unless it is muted.
- A muted thread is not counted as unread, and causes no notices.
- A deleted message is kept for a while (`trash`). The thread is in the inbox as long as it has other messages.

Each action returns what it has changed. An Undo can be sent to the browser and back: it names the action, the threads
that it has changed, and the time, by which the messages are found that it has marked as read or deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from ..models import Node
from ..services.queue import reports
from ..times import number_at
from . import index
from .models import Entry, Thread

ARCHIVE, INBOX = "archive", "inbox"
STAR, UNSTAR = "star", "unstar"
MUTE, UNMUTE = "mute", "unmute"
READ, UNREAD = "read", "unread"
DELETE, RESTORE = "delete", "restore"
OPPOSITE = {ARCHIVE: INBOX, STAR: UNSTAR, MUTE: UNMUTE}
OPPOSITE |= {back: there for there, back in OPPOSITE.items()}
_MARKS = {  # the field that an action sets, and to what
    ARCHIVE: ("archived", True),
    INBOX: ("archived", False),
    STAR: ("starred", True),
    UNSTAR: ("starred", False),
    MUTE: ("muted", True),
    UNMUTE: ("muted", False),
}


@dataclass(frozen=True, slots=True)
class Done:
    """An action, the ids of the threads that it has changed, and when."""

    action: str
    threads: tuple[int, ...]
    at: datetime


@transaction.atomic
def act(node: Node, action: str, threads: Iterable[int]) -> Done:
    """Do one of ACTIONS with these threads of a mailbox, by id. Leave out those for which it changes nothing."""
    index.lock(node)
    now = timezone.now()
    mine = Thread.objects.filter(node=node, pk__in=list(threads))
    if action in _MARKS:
        field, value = _MARKS[action]
        changed = _ids(mine.exclude(**{field: value}))
        Thread.objects.filter(pk__in=changed).update(**{field: value})
    else:
        changed = _CHANGES[action](node, _ids(mine), now)
        index.count(node, changed)
    return Done(action, tuple(changed), now)


@transaction.atomic
def undo(node: Node, done: Done) -> int:
    """Undo what an action has changed, and return the number of threads, without those that are gone meanwhile."""
    if done.action in OPPOSITE:
        return len(act(node, OPPOSITE[done.action], done.threads).threads)
    index.lock(node)
    mine = _ids(Thread.objects.filter(node=node, pk__in=done.threads))
    entries = Entry.objects.filter(thread__in=mine)
    if done.action == READ:
        entries.filter(read=done.at).update(read=None)
    elif done.action == UNREAD:
        entries.filter(read=None, number__lt=number_at(done.at)).update(read=timezone.now())
    elif done.action == DELETE:
        entries.filter(deleted=done.at).update(deleted=None)
    index.count(node, mine)
    return len(mine)


def mark_read(node: Node, numbers: Collection[int]) -> None:
    """Mark messages as read: the member has opened them."""
    if not numbers:
        return
    with transaction.atomic():
        index.lock(node)
        entries = Entry.objects.filter(node=node, number__in=numbers)
        index.count(node, _note_read(node, entries, timezone.now()))


@transaction.atomic
def delete_message(node: Node, entry: Entry) -> Done:
    """Delete one message of a thread, for which there is an Undo as for a whole thread."""
    index.lock(node)
    now = timezone.now()
    Entry.objects.filter(pk=entry.pk, node=node, deleted=None).update(deleted=now)
    index.count(node, [entry.thread_id])
    return Done(DELETE, (entry.thread_id,), now)


def _mark_read(node: Node, threads: Collection[int], now: datetime) -> list[int]:
    return _note_read(node, Entry.objects.filter(thread__in=threads, deleted=None), now)


def _note_read(node: Node, entries: QuerySet[Entry], now: datetime) -> list[int]:
    """Note that these messages have been read, in the site's reports, too. Return the ids of their threads."""
    unread = list(entries.filter(read=None).values_list("number", "thread"))
    opened = [number for number, _ in unread]
    Entry.objects.filter(node=node, number__in=opened).update(read=now)
    if opened:
        reports.has_read(node.pk, opened)
    return sorted({thread for _, thread in unread})


def _mark_unread(node: Node, threads: Collection[int], now: datetime) -> list[int]:
    """Mark the newest message of others in each thread as unread. The site's reports still say that it was read."""
    others = Entry.objects.filter(thread__in=threads, deleted=None).exclude(kind="member").exclude(uid=node.user.uid)
    read = others.exclude(thread__unread__gt=0).order_by().values_list("thread").annotate(newest=Max("number"))
    newest = dict(read)
    Entry.objects.filter(node=node, number__in=newest.values()).update(read=None)
    return sorted(newest)


def _delete(node: Node, threads: Collection[int], now: datetime) -> list[int]:
    return _note_deleted(Q(deleted=None), threads, now)


def _restore(node: Node, threads: Collection[int], now: datetime) -> list[int]:
    """Restore the deleted messages of threads, which return to the inbox."""
    changed = _note_deleted(Q(deleted__isnull=False), threads, None)
    Thread.objects.filter(pk__in=changed).update(archived=False)
    return changed


def _note_deleted(which: Q, threads: Collection[int], when: datetime | None) -> list[int]:
    entries = Entry.objects.filter(which, thread__in=threads)
    changed = sorted(set(entries.order_by().values_list("thread", flat=True).distinct()))
    entries.update(deleted=when)
    return changed


def _ids(threads: QuerySet[Thread]) -> list[int]:
    return list(threads.order_by("pk").values_list("pk", flat=True))


_CHANGES: dict[str, Callable[[Node, Collection[int], datetime], list[int]]] = {
    READ: _mark_read,
    UNREAD: _mark_unread,
    DELETE: _delete,
    RESTORE: _restore,
}
ACTIONS = (*_MARKS, *_CHANGES)
