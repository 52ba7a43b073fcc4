"""The messages of a thread, as its page shows them: a part at a time, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.safestring import SafeString

from ..markup import render
from ..models import Member, Message, Node, QueueEntry
from ..services.messages.mailbox import Received
from ..services.messages.post_format import FILE, Attached
from .marks import Delivery
from .models import Entry, Thread
from .positions import Position

AT_ONCE = 30
MOST = 300  # messages on one page, however many the reader has loaded
SHOWN_MAX = 32 * 1024  # characters of a text that are shown; a longer text can be downloaded


@dataclass
class Item:
    """A message on the page. `own` says whether the member has written it."""

    entry: Entry
    received: Received
    own: bool
    membership: Member.Status | None = None  # in the group that it is about
    delivery: Delivery | None = None  # of an own message (`delivery.add_deliveries`)

    @property
    def msgid(self) -> str:
        return self.received.msgid

    @property
    def posted(self) -> datetime:
        return self.received.posted

    @property
    def kind(self) -> str:
        """One of delivery, ping, invite and member."""
        return self.entry.kind

    @property
    def alias(self) -> str:
        """The name of the author."""
        return self.entry.alias

    @property
    def initial(self) -> str:
        """The first letter or digit of the author's name, as a capital letter."""
        return next((letter.upper() for letter in self.alias if letter.isalnum()), "?")

    @property
    def is_readable(self) -> bool:
        """Return whether the message can be read now: its file may be missing, damaged or out of reach."""
        return self.received.is_readable

    @cached_property
    def html(self) -> SafeString:
        """The first SHOWN_MAX characters of the text, as HTML."""
        return render(self.received.text[:SHOWN_MAX])

    @cached_property
    def is_cut(self) -> bool:
        """Return whether the text is longer than SHOWN_MAX."""
        return self.received.head.text_size > SHOWN_MAX and len(self.received.text) > SHOWN_MAX

    @cached_property
    def attachments(self) -> list[tuple[int, Attached]]:
        """The attached files, each with its index among all attachments."""
        files = enumerate(self.received.attachments)
        return [(place, attached) for place, attached in files if attached.kind == FILE]

    # messages about groups

    @property
    def gid(self) -> str:
        """The gid of the group that the message is about."""
        return str(self.received.header.get("gid", ""))

    @property
    def to(self) -> str:
        """The alias that was invited or pinged."""
        return str(self.received.header.get("to", ""))

    @property
    def act(self) -> str:
        """What happened to the member: invite, join, alias or drop."""
        return str(self.received.header.get("act", ""))

    @property
    def newalias(self) -> str:
        """The member's new name in the group."""
        return str(self.received.header.get("newalias", ""))

    @property
    def is_member(self) -> bool:
        """Return whether the member has joined the group."""
        return self.membership == Member.Status.JOINED

    @property
    def is_open_invitation(self) -> bool:
        """Return whether the message is an invitation that the member may still accept."""
        return self.kind == "invite" and not self.own and self.membership == Member.Status.INVITED


@dataclass
class Part:
    """Consecutive messages of a thread, and whether there are `earlier` and `later` ones.

    `gone` are the numbers of messages that are still in the index but not in the mailbox any more. `known` is the
    number of the newest message that the reader knew before.
    """

    items: Sequence[Item]
    earlier: bool = False
    later: bool = False
    known: int = 0
    gone: list[int] = field(default_factory=list)

    @property
    def unread(self) -> list[int]:
        """The numbers of the messages that have not been read, and can be read now."""
        return [item.entry.number for item in self.items if item.entry.read is None and item.is_readable]

    @property
    def position(self) -> Position:
        """How far somebody has come who has read this part. It has messages."""
        entries = [item.entry for item in self.items]
        return Position(max(self.known, entries[-1].number), max(entry.pk for entry in entries))

    @property
    def first(self) -> int:
        """The number of the first message, or 0."""
        return self.items[0].entry.number if self.items else 0


def until(
    mailbox: Node, thread: Thread, before: int | None = None, since: int | None = None, *, deleted: bool = False
) -> Part:
    """Return the last messages of a thread, or the last ones before a number: AT_ONCE, or more.

    With `since`, these are all messages from this number on, at most MOST. `deleted` means the deleted messages,
    instead of those that are not.
    """
    every = entries_of(thread, deleted=deleted)
    entries = (every if before is None else every.filter(number__lt=before)).order_by("-number")
    many = AT_ONCE if since is None else max(AT_ONCE, entries.filter(number__gte=since)[:MOST].count())
    found = list(entries[: many + 1])
    part = _part(mailbox, found[:many][::-1])
    part.earlier = len(found) > many
    part.later = before is not None and every.filter(number__gte=before).exists()
    return part


def after(mailbox: Node, thread: Thread, position: Position) -> Part:
    """Return the messages of a thread that are not known to a reader at this position: the first to be indexed."""
    found = list(position.after(entries_of(thread)).order_by("pk")[: AT_ONCE + 1])
    part = _part(mailbox, sorted(found[:AT_ONCE], key=lambda entry: entry.number))
    part.later, part.known = len(found) > AT_ONCE, position.number
    return part


def entries_of(thread: Thread, *, deleted: bool = False) -> QuerySet[Entry]:
    """Return the messages of a thread: those that are deleted, or those that are not."""
    return thread.entries.filter(deleted__isnull=not deleted)


def _part(mailbox: Node, entries: Sequence[Entry]) -> Part:
    numbers = [entry.number for entry in entries]
    waiting = QueueEntry.objects.filter(node=mailbox, rank=QueueEntry.Rank.NORMAL, message_id__in=numbers)
    messages = Message.objects.filter(pk__in=waiting.values("message_id")).select_related("sender").in_bulk()
    here = [entry for entry in entries if entry.number in messages]
    items = [Item(entry, Received(messages[entry.number]), entry.uid == mailbox.user.uid) for entry in here]
    _add_memberships(mailbox, items)
    return Part(items, gone=[number for number in numbers if number not in messages])


def _add_memberships(mailbox: Node, items: Sequence[Item]) -> None:
    gids = {item.gid for item in items if item.kind == "invite"}
    if gids:
        mine = Member.objects.filter(group__gid__in=gids, user=mailbox.user_id).values_list("group__gid", "status")
        status = {gid: Member.Status(value) for gid, value in mine}
        for item in items:
            item.membership = status.get(item.gid)
