"""The body of a post as clients write and read it (tmtp.md section 6): a JSON head, then text and attachments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.utils.functional import Promise

from ...protocol.values import is_msgid
from ..errors import Refused
from ..text import visible
from .attachments import Attachment, safe_name

FILE, FORM, REFERENCE = "u:", "f:", "r:"  # what an attachment's name begins with
HEAD_MAX = 256 * 1024  # octets of a head that is read; a longer one counts as malformed
READERS_MAX = 1000  # readers that are read from a head
CLAIM_MAX = 4000  # characters that are read of an alias, a subject, the name of a reader or of a file


@dataclass(frozen=True, slots=True)
class Person:
    """A user or group as a head names them."""

    alias: str
    uid: str


@dataclass(frozen=True, slots=True)
class Letter:
    """The data of a post, in parts: a JSON head of `datahead` octets, the text, attachments."""

    head: bytes
    text: bytes
    attachments: Sequence[Attachment] = ()

    @property
    def datahead(self) -> int:
        """The size of the head, in octets."""
        return len(self.head)

    @property
    def size(self) -> int:
        """The size of the whole letter, in octets."""
        return len(self.head) + len(self.text) + sum(file.size for file in self.attachments)

    def pieces(self) -> Iterator[bytes]:
        """Yield the octets of the whole letter in pieces."""
        yield self.head
        yield self.text
        for file in self.attachments:
            yield from file.pieces()


def compose(
    author: Person,
    subject: str,
    text: str,
    *,
    thread: str = "",
    readers: Sequence[Person] = (),
    attachments: Sequence[Attachment] = (),
) -> Letter:
    """Return a letter. `thread` is the msgid of the first message of its thread, or empty to begin a new thread.

    `readers` are the participants of a new thread, its author among them. Clients send answers to them.
    """
    head: dict[str, Any] = {"threadid": thread, "alias": author.alias, "subject": subject}
    if not thread and readers:
        head["cc"] = [_cc(author, reader) for reader in readers]
    if attachments:
        head["attach"] = [{"name": FILE + file.name, "size": file.size, "ffn": ""} for file in attachments]
    return Letter(msgspec.json.encode(head), text.encode(), attachments)


def checked(subject: Any, text: Any, thread: Any) -> tuple[str, str, str]:
    """Return a subject, a text and a thread as plain strings. They may be lazy translations or marked as safe HTML.

    Raise Refused for a text that not every database can store, and for a thread that is not a msgid.
    """
    subject, text = plain(subject, "the subject"), plain(text, "the text")
    if thread and not (isinstance(thread, str) and is_msgid(thread)):
        raise Refused("thread_not_msgid", thread=f"{thread!r:.40}")
    return subject, text, thread or ""


def plain(text: Any, what: str) -> str:
    """Return `text` as a plain string. Raise Refused, with `what` as its name, if it is not valid text."""
    if not isinstance(text, str | Promise):
        raise Refused("text_wrong_type", what=what, type=type(text).__name__)
    try:
        octets = str(text).encode()
    except UnicodeEncodeError as error:
        raise Refused("text_not_unicode", what=what, reason=error.reason) from error
    if 0 in octets:
        raise Refused("text_has_nul", what=what)
    return octets.decode()  # a plain str, not a SafeString or another subclass


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


@dataclass(frozen=True, slots=True)
class Attached:
    """An attachment of a received letter: its name, and its place in the data. `kind` is "u:", "f:" or "r:"."""

    name: str
    kind: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a received letter, and the place of its text. Members that make no sense are left out."""

    thread: str = ""
    alias: str = ""
    subject: str = ""
    readers: Sequence[Person] = ()
    text_at: int = 0
    text_size: int = 0
    attachments: Sequence[Attached] = ()
    nodesync: bool = False
    confirmid: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_for_devices(self) -> bool:
        """Whether the post has nothing for a person: it is news between devices, or says that another was read."""
        return self.nodesync or bool(self.confirmid and not self.text_size and not self.attachments)


def parse_head(head: bytes, size: int, datahead: int) -> Head:
    """Parse a letter's head, leaving out members that make no sense.

    `size` is that of the whole data and `datahead` that of the head, in octets. Of a head longer than HEAD_MAX, its
    beginning is enough.
    """
    data = _decoded(head)
    data = {str(key).lower(): value for key, value in data.items()} if isinstance(data, dict) else {}
    sizes = [(entry, _size(entry)) for entry in _objects(data.get("attach"))]
    after_head = size - datahead
    if any(octets is None for _, octets in sizes) or sum(octets or 0 for _, octets in sizes) > after_head:
        sizes = []
    text_size = after_head - sum(octets or 0 for _, octets in sizes)
    return Head(
        thread=_text(data.get("threadid")),
        alias=_claimed(data.get("alias")),
        subject=_claimed(data.get("subject")),
        readers=[
            Person(_claimed(cc.get("who")), _text(cc.get("whouid"))) for cc in _objects(data.get("cc"))[:READERS_MAX]
        ],
        text_at=datahead,
        text_size=text_size,
        attachments=_placed(sizes, datahead + text_size),
        nodesync=data.get("nodesync") is True,
        confirmid=_text(data.get("confirmid")),
        extra=data,
    )


def _decoded(head: bytes) -> Any:
    """Return the JSON value of a head, or None if it has none.

    A head that is not quite UTF-8, or has half a surrogate pair where a program has cut a text, is read all the same.
    """
    if not head or len(head) > HEAD_MAX:
        return None
    try:
        return msgspec.json.decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(head.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _placed(sizes: Sequence[tuple[dict[str, Any], int | None]], at: int) -> list[Attached]:
    placed = []
    for entry, octets in sizes:
        name = _text(entry.get("name"))[:CLAIM_MAX]
        kind = name[:2] if name[:2] in (FILE, FORM, REFERENCE) else ""
        placed.append(Attached(safe_name(name[len(kind) :]), kind or FILE, at, octets or 0))
        at += octets or 0
    return placed


def _size(entry: dict[str, Any]) -> int | None:
    size = entry.get("size", 0)
    return size if isinstance(size, int) and size >= 0 else None


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects in a list, with their keys in lower case. Return none if the value is not a list."""
    entries = value if isinstance(value, list) else []
    return [{str(key).lower(): some for key, some in entry.items()} for entry in entries if isinstance(entry, dict)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _claimed(value: Any) -> str:
    return visible(_text(value)[:CLAIM_MAX])
