"""The line of text under each row of a list: the beginning of a message, or the part of it that a search has found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape

from django.utils.html import strip_tags
from django.utils.translation import gettext as _

from ..markup import render
from ..models import Message, Node, QueueEntry
from ..services.messages.mailbox import Received
from .words import fold, terms_of

READ_MAX = 1024  # octets of a text that are read for its beginning
SEARCHED_MAX = 16 * 1024  # octets in which the words of a search are looked for
SHOWN_MAX = 160  # characters
BEFORE = 40  # characters that are shown before a word that was searched for
_WORD = re.compile(r"\S+")


def previews(node: Node, numbers: Iterable[int], wanted: str = "") -> dict[int, str]:
    """Return a line of text for each of these messages that has a text, around the first of the `wanted` words."""
    waiting = QueueEntry.objects.filter(node=node, rank=QueueEntry.Rank.NORMAL, message_id__in=list(numbers))
    found = {}
    for message in Message.objects.filter(pk__in=waiting.values("message_id")):
        try:
            text = Received(message).beginning(SEARCHED_MAX if wanted else READ_MAX)
            found[message.pk] = around(as_line(text), wanted)
        except OSError:
            found[message.pk] = _("This message cannot be read at the moment.")
    return found


def as_line(text: str) -> str:
    """Return CommonMark as a line of plain text, without markup."""
    return " ".join(unescape(strip_tags(render(text))).split())


def around(line: str, wanted: str) -> str:
    """Return the part of a line with the first of the wanted words in it, or its beginning if it has none of them."""
    at = _place(line, wanted) if wanted else 0
    if at <= BEFORE:
        return _cut(line)
    start = line.find(" ", at - BEFORE, at) + 1 or at - BEFORE // 4
    return "… " + _cut(line[start:])


def _place(line: str, wanted: str) -> int:
    """Return where the first word begins that contains a term of a search, or 0."""
    terms = terms_of(wanted)
    sought = [*terms.beginnings, *terms.runs, *terms.words]
    words = ((word.start(), fold(word[0])) for word in _WORD.finditer(line))
    return next((start for start, word in words if any(term in word for term in sought)), 0)


def _cut(line: str) -> str:
    return line if len(line) <= SHOWN_MAX else line[:SHOWN_MAX].rstrip() + "…"
