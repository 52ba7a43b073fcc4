"""The body of a post as clients write and read it (tmtp.md section 6): a JSON head, then text and attachments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Person:
    """Someone as a letter names them."""

    alias: str
    uid: str


def compose(author: Person, subject: str, text: str, *, thread: str = "", readers: tuple[Person, ...] = ()) -> Letter:
    """A letter. `thread` is the msgid of the first letter it answers to, empty to begin a thread.

    `readers` are those a thread is begun with, its author among them: to them an answer goes.
    """
    head: dict[str, Any] = {"threadid": thread, "alias": author.alias, "subject": subject}
    if not thread and readers:
        head["cc"] = [_cc(author, reader) for reader in readers]
    octets = msgspec.json.encode(head)
    return Letter(octets + text.encode(), len(octets))


@dataclass(frozen=True, slots=True)
class Letter:
    """A post's data, and how much of it is the head (`datahead`)."""

    data: bytes
    datahead: int


def _cc(author: Person, reader: Person) -> dict[str, Any]:
    return {
        "who": reader.alias,
        "whouid": reader.uid,
        "by": author.alias,
        "byuid": author.uid,
        "date": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "note": "",
        "subscribe": True,
    }
