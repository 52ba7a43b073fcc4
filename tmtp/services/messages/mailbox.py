"""Read the messages in a mailbox: a member's on the website, or the site's own.

A mailbox stores its messages in its queue. `remove` acknowledges them.
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
from django.utils.translation import gettext

from ...models import Message, Node, QueueEntry, User
from ...protocol.values import is_msgid
from ..people.shown_names import Named, shown_names
from ..queue import reports
from ..queue.queue import discard_on_commit
from ..queue.reports import Note
from ..storage import spool, sql
from ..storage.unreadable import report, report_recovery
from .post_format import HEAD_MAX, Attached, Head, Person, parse_head

TEXT_MAX = 1024 * 1024  # octets of text that are read; a longer text is cut


@dataclass(frozen=True)
class Received:
    """A message in a mailbox. A post has a head, a text and attachments; a ping or an invitation has a text.

    Its content comes from the sender: the text may be anything, and the head may be missing, malformed or untrue.
    """

    message: Message

    @property
    def number(self) -> int:
        return int(self.message.pk)

    @property
    def msgid(self) -> str:
        return self.message.msgid

    @property
    def posted(self) -> datetime:
        """The time at which the service accepted the message."""
        return self.message.posted

    @property
    def op(self) -> str:
        """The kind of message: delivery, ping, invite, member, … (tmtp.md section 4)."""
        return self.message.op

    @cached_property
    def header(self) -> dict[str, Any]:
        """The header that clients get (tmtp.md section 4)."""
        header: dict[str, Any] = msgspec.json.decode(bytes(self.message.head)[4:])
        return header

    @property
    def sender(self) -> User | None:
        """The user who sent the message, or None if the user has been deleted."""
        return self.message.sender

    @cached_property
    def head(self) -> Head:
        """The head of a post, parsed. It is empty for any other message."""
        has_head = self.op in ("delivery", "notify")
        datahead = min(self.header.get("datahead", 0), self.message.size) if has_head else 0
        return parse_head(self._octets(0, min(datahead, HEAD_MAX + 1)), self.message.size, datahead)

    @property
    def named_thread(self) -> str:
        """The msgid of the first message of the thread that the head names, or of this message if it names none.

        The sender need not take part in that thread (see `threads`).
        """
        return self.head.thread if is_msgid(self.head.thread) else self.msgid

    @property
    def subject(self) -> str:
        return _storable(self.head.subject)

    @property
    def uid(self) -> str:
        """The uid of the sender, known even if the user has been deleted."""
        return str(self.header.get("from", ""))

    @property
    def is_from_site(self) -> bool:
        """Return whether the site itself sent the message. No member can forge this."""
        return self.sender is not None and self.sender.is_site

    @property
    def alias(self) -> str:
        """The sender's name: one of their aliases, or the uid. See `shown_names` for posts."""
        if self.op in ("delivery", "notify"):
            unnamed = self.uid if self.sender else gettext("deleted member")
            return self.names.get(self._named(self.uid, self.head.alias), unnamed)
        return str(self.header.get("alias", ""))

    @property
    def readers(self) -> list[Person]:
        """The users and groups that the head of a post names as readers, under the names to show for them."""
        named = [self._named(reader.uid, reader.alias) for reader in self.head.readers]
        return [Person(self.names[one], one.uid) for one in dict.fromkeys(named) if one in self.names]

    @property
    def named(self) -> set[Named]:
        """The names of the author and readers in the head of a post."""
        people = [Person(self.head.alias, self.uid), *self.head.readers]
        return {self._named(person.uid, person.alias) for person in people}

    @cached_property
    def names(self) -> dict[Named, str]:
        """The names to show for `named`. `look_up_names` sets them for many messages at once."""
        return shown_names(self.named)

    def _named(self, uid: str, name: str) -> Named:
        return Named(uid, name, self.posted)

    @cached_property
    def text(self) -> str:
        """The text, CommonMark. It is cut after TEXT_MAX octets."""
        return self.beginning(TEXT_MAX)

    def beginning(self, size: int) -> str:
        """Return the text, cut after `size` octets."""
        octets = self._octets(self.head.text_at, min(self.head.text_size, size))
        cut = "ignore" if self.head.text_size > size else "replace"
        return _storable(octets.decode(errors=cut))

    @property
    def attachments(self) -> list[Attached]:
        """The attached files, with name and size. `open` and `pieces` return their content."""
        return list(self.head.attachments)

    @cached_property
    def is_readable(self) -> bool:
        """Return whether the text can be read now. If it cannot, the log says so, once for each body."""
        try:
            self.text  # noqa: B018
        except FileNotFoundError as error:
            report(self.message.spool, error)
            return False
        except OSError:
            return False
        report_recovery(self.message.spool)
        return True

    def open(self, attached: Attached) -> BinaryIO:
        """Return an attachment's content as a file in memory. Use `pieces` for a large one."""
        return io.BytesIO(self._octets(attached.offset, attached.size))

    def pieces(self, attached: Attached, size: int = 64 * 1024) -> Iterator[bytes]:
        """Yield an attachment's content in pieces of `size` octets."""
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
        """Open the data of the message. Raise FileNotFoundError if its file has been removed meanwhile, or is damaged.

        Raise Unreadable if the system does not let it be read, or if it is in a storage that does not answer.
        """
        if self.message.spool:
            return spool.open_body(self.message.spool, self.message.size)
        return io.BytesIO(bytes(self.message.body or b""))


def _storable(text: str) -> str:
    """Return the text with U+FFFD for each NUL (CommonMark 2.3). PostgreSQL cannot store NUL in a text."""
    return text.replace("\0", "\ufffd")


def look_up_names(messages: Collection[Received]) -> None:
    """Set `names` of all these messages at once."""
    named: dict[Received, set[Named]] = {}
    for one in messages:
        if one.op in ("delivery", "notify"):
            with suppress(OSError):  # it has just been removed, or cannot be read: whoever reads it gets the error
                named[one] = one.named
    names = shown_names(set().union(*named.values()))
    for one in named:
        one.__dict__["names"] = names  # where cached_property keeps its value


def messages_of(mailbox: Node) -> QuerySet[Message]:
    """Return the messages in a mailbox, oldest first. Wrap each in `Received` to read it."""
    entries = QueueEntry.objects.filter(node=mailbox).values("message_id")
    return Message.objects.filter(pk__in=entries).select_related("sender").order_by("pk")


def remove(mailbox: Node, numbers: Iterable[int]) -> None:
    """Remove messages from a mailbox. Needs a transaction of the caller's."""
    entries = QueueEntry.objects.filter(node=mailbox, message_id__in=list(numbers))
    rows = list(entries.values_list("node_id", "rank", "message_id"))
    now = timezone.now()
    reports.note([Note(node, number, now, True) for node, _, number in rows])
    sql.delete_entries(rows)
    discard_on_commit(sql.delete_finished({number for _, _, number in rows}))
