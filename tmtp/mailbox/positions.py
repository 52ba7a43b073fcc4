"""How far a reader has come in a mailbox. What is new after that includes messages that are committed late.

The number of the newest message does not tell what is new: a message that was numbered first may be committed last, up
to LATE later. Entries of the index get keys in the order in which messages are indexed. The last key alone does not
tell either, since old messages are indexed when a mailbox is first opened.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Max, QuerySet

from ..models import Node
from ..protocol.values import whole_number
from ..services.messages.fanout import LATE
from .models import Entry, Mailbox


class Position(NamedTuple):
    """The number of the newest message that a reader knows, and the key of the entry that was indexed last."""

    number: int
    entry: int

    def __str__(self) -> str:
        """Return the text that `parse` reads, for URLs and scripts."""
        return f"{self.number}-{self.entry}"

    def after(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        """Return those of the entries that the reader does not know."""
        return entries.filter(number__gt=self.number - LATE, pk__gt=self.entry)


def parse(text: str) -> Position | None:
    """Return the position that a text from outside is, or None for others."""
    first, _, second = text.partition("-")
    number, entry = whole_number(first), whole_number(second)
    return None if number is None or entry is None else Position(number, entry)


def end_of(node: Node) -> Position:
    """Return the position of a reader who knows all that is in the index of a mailbox."""
    newest = Mailbox.objects.get(node=node).newest
    last = Entry.objects.filter(node=node, number__gt=newest - LATE).aggregate(last=Max("pk"))["last"]
    return Position(newest, last or 0)
