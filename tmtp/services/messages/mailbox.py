"""Reading what waits in a mailbox: a member's on the website, or the site's own.

Its queue is its storage, so what is read is the stored message itself; `remove` is the acknowledgement.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO

import msgspec
from django.db.models import QuerySet
from django.utils import timezone

from ...models import Message, Node, QueueEntry, User
from ...protocol.values import is_msgid
from ..people.shown_names import Named, shown_names
from ..queue import reports
from ..queue.queue import discard_on_commit
from ..queue.reports import Note
from ..storage import spool, sql
from .post_format import Attached, Head, Person, parse_head

TEXT_MAX = 1024 * 1024  # octets of text that are read; a longer one is cut


@dataclass(frozen=True)
class Received:
    """A message in a mailbox. Of a post: its head, text and attachments; of a ping or an invitation: its text.

    What members write is theirs: a text may hold anything, and a head may be missing, make no sense or be untrue.
    """

    message: Message

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.message.pk)

    @property
    def msgid(self) -> str:
        """Its id, as clients see it."""
        return self.message.msgid

    @property
    def posted(self) -> datetime:
        """When it was accepted."""
        return self.message.posted

    @property
    def op(self) -> str:
        """What it is: delivery, ping, invite, member, …"""
        return self.message.op

    @cached_property
    def header(self) -> dict[str, Any]:
        """Its header, as it goes to clients (tmtp.md section 4)."""
        header: dict[str, Any] = msgspec.json.decode(bytes(self.message.head)[4:])
        return header

    @property
    def sender(self) -> User | None:
        """Who sent it; None when they are gone."""
        return self.message.sender

    @cached_property
    def head(self) -> Head:
        """What a post's head says."""
        has_head = self.op in ("delivery", "notify")
        datahead = min(self.header.get("datahead", 0), self.message.size) if has_head else 0
        return parse_head(self._octets(0, datahead), self.message.size)

    @property
    def named_thread(self) -> str:
        """The msgid of the first message of the thread that its head names; its own when it names none.

        The sender need not take part in that thread: see `threads`.
        """
        return self.head.thread if is_msgid(self.head.thread) else self.msgid

    @property
    def subject(self) -> str:
        """A post's subject."""
        return _storable(self.head.subject)

    @property
    def uid(self) -> str:
        """The uid of the sender, who may be gone."""
        return str(self.header.get("from", ""))

    @property
    def is_from_site(self) -> bool:
        """Whether the site itself sent it, which no member can pass for."""
        return self.sender is not None and self.sender.is_site

    @property
    def alias(self) -> str:
        """The name that its sender writes under: an alias of theirs, or the uid.

        What the head of a post says is shown only if it is true (`shown_names`).
        """
        if self.op in ("delivery", "notify"):
            return self.names.get(self._named(self.uid, self.head.alias), self.uid)
        return str(self.header.get("alias", ""))

    @property
    def readers(self) -> list[Person]:
        """The users and groups that a post says it is for, under names that are true."""
        named = [self._named(reader.uid, reader.alias) for reader in self.head.readers]
        return [Person(self.names[one], one.uid) for one in dict.fromkeys(named) if one in self.names]

    @property
    def named(self) -> set[Named]:
        """The names that the head of a post has for its author and readers."""
        people = [Person(self.head.alias, self.uid), *self.head.readers]
        return {self._named(person.uid, person.alias) for person in people}

    @cached_property
    def names(self) -> dict[Named, str]:
        """The names to show for these. `look_up_names` does it for many messages at once."""
        return shown_names(self.named)

    def _named(self, uid: str, name: str) -> Named:
        return Named(uid, name, self.posted)

    @cached_property
    def text(self) -> str:
        """Its text, CommonMark; the first TEXT_MAX octets of it."""
        octets = self._octets(self.head.text_at, min(self.head.text_size, TEXT_MAX))
        return _storable(octets.decode(errors="replace"))

    @property
    def attachments(self) -> list[Attached]:
        """The files that came with it: name, size. `open` and `pieces` give what is in one."""
        return list(self.head.attachments)

    def open(self, attached: Attached) -> BinaryIO:
        """An attachment's octets, in memory; `pieces` for large ones."""
        return io.BytesIO(self._octets(attached.offset, attached.size))

    def pieces(self, attached: Attached, size: int = 64 * 1024) -> Iterator[bytes]:
        """An attachment's octets, piece by piece."""
        with self._data() as data:
            data.seek(attached.offset)
            left = attached.size
            while left and (piece := data.read(min(size, left))):
                left -= len(piece)
                yield piece

    def _octets(self, at: int, size: int) -> bytes:
        with self._data() as data:
            data.seek(at)
            return data.read(size)

    def _data(self) -> BinaryIO:
        """All of its data. Raises FileNotFoundError when its file is gone: then it has been removed."""
        if self.message.spool:
            return open(spool.path(self.message.spool), "rb")
        return io.BytesIO(bytes(self.message.body or b""))


def _storable(text: str) -> str:
    """The text without NUL, which PostgreSQL keeps in no text, and CommonMark (2.3) has replaced by U+FFFD."""
    return text.replace("\0", "\ufffd")


def look_up_names(messages: Collection[Received]) -> None:
    """Look up the names in posts' heads, for all of these at once."""
    named: dict[Received, set[Named]] = {}
    for one in messages:
        if one.op in ("delivery", "notify"):
            with suppress(FileNotFoundError):  # it has just been removed
                named[one] = one.named
    names = shown_names(set().union(*named.values()))
    for one in named:
        one.__dict__["names"] = names  # what the cached property would hold


def messages_of(mailbox: Node) -> QuerySet[Message]:
    """The messages in a mailbox, in the order they came. Wrap each in `Received` to read it."""
    entries = QueueEntry.objects.filter(node=mailbox).values("message_id")
    return Message.objects.filter(pk__in=entries).select_related("sender").order_by("pk")


def remove(mailbox: Node, numbers: Iterable[int]) -> None:
    """Take messages out of a mailbox for good. In the caller's transaction, which it must have."""
    entries = QueueEntry.objects.filter(node=mailbox, message_id__in=list(numbers))
    rows = list(entries.values_list("node_id", "rank", "message_id"))
    now = timezone.now()
    reports.note([Note(node, number, now, True) for node, _, number in rows])
    sql.delete_entries(rows)
    discard_on_commit(sql.delete_finished({number for _, _, number in rows}))
