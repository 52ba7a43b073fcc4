"""The body of a post as clients write and read it (tmtp.md section 6): a JSON head, then text and attachments."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Person:
    """Someone as a letter names them."""

    alias: str
    uid: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A post's data, in parts: `datahead` octets of head, the text, attachments."""

    head: bytes
    text: bytes
    attachments: Sequence[Attachment] = ()

    @property
    def datahead(self) -> int:
        """The octets of the head."""
        return len(self.head)

    @property
    def size(self) -> int:
        """The octets of it all."""
        return len(self.head) + len(self.text) + sum(file.size for file in self.attachments)

    def pieces(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
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
    """A letter. `thread` is the msgid of the first letter it answers to, empty to begin a thread.

    `readers` are those a thread is begun with, its author among them: to them an answer goes.
    """
    head: dict[str, Any] = {"threadid": thread, "alias": author.alias, "subject": subject}
    if not thread and readers:
        head["cc"] = [_cc(author, reader) for reader in readers]
    if attachments:
        head["attach"] = [{"name": FILE + file.name, "size": file.size, "ffn": ""} for file in attachments]
    return Letter(msgspec.json.encode(head), text.encode(), attachments)


def checked(subject: Any, text: Any, thread: Any) -> tuple[str, str, str]:
    """A letter's subject, text and thread as plain strings: each may be lazily translated, or marked as safe HTML.

    Raises Refused for what is no text that any database can keep, and for a thread that is no msgid.
    """
    subject, text = plain(subject, "the subject"), plain(text, "the text")
    if thread and not (isinstance(thread, str) and is_msgid(thread)):
        raise Refused("thread_not_msgid", thread=f"{thread!r:.40}")
    return subject, text, thread or ""


def plain(text: Any, what: str) -> str:
    """`text`, which `what` names, as a plain string. Raises Refused."""
    if not isinstance(text, str | Promise):
        raise Refused("text_wrong_type", what=what, type=type(text).__name__)
    try:
        octets = str(text).encode()
    except UnicodeEncodeError as error:
        raise Refused("text_not_unicode", what=what, reason=error.reason) from error
    if 0 in octets:
        raise Refused("text_has_nul", what=what)
    return octets.decode()  # not a SafeString, nor what else there is of str


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
    """An attachment of a letter that came: its name, and where in the data it is. `kind` is "u:", "f:" or "r:"."""

    name: str
    kind: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a letter says, with where its text is; as far as it makes sense, since anyone may write one."""

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


def parse_head(head: bytes, size: int) -> Head:
    """Read a letter's head; `size` is the octets of the whole data. Never fails: what makes no sense is left out."""
    try:
        said = msgspec.json.decode(head) if head else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {}
    said = {str(key).lower(): value for key, value in said.items()} if isinstance(said, dict) else {}
    sizes = [(entry, _size(entry)) for entry in _objects(said.get("attach"))]
    room = size - len(head)
    if any(octets is None for _, octets in sizes) or sum(octets or 0 for _, octets in sizes) > room:
        sizes = []
    text_size = room - sum(octets or 0 for _, octets in sizes)
    return Head(
        thread=_text(said.get("threadid")),
        alias=visible(_text(said.get("alias"))),
        subject=visible(_text(said.get("subject"))),
        readers=[Person(visible(_text(cc.get("who"))), _text(cc.get("whouid"))) for cc in _objects(said.get("cc"))],
        text_at=len(head),
        text_size=text_size,
        attachments=_placed(sizes, len(head) + text_size),
        nodesync=said.get("nodesync") is True,
        confirmid=_text(said.get("confirmid")),
        extra=said,
    )


def _placed(sizes: Sequence[tuple[dict[str, Any], int | None]], at: int) -> list[Attached]:
    placed = []
    for entry, octets in sizes:
        name = _text(entry.get("name"))
        kind = name[:2] if name[:2] in (FILE, FORM, REFERENCE) else ""
        placed.append(Attached(safe_name(name[len(kind) :]), kind or FILE, at, octets or 0))
        at += octets or 0
    return placed


def _size(entry: dict[str, Any]) -> int | None:
    size = entry.get("size", 0)
    return size if isinstance(size, int) and size >= 0 else None


def _objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects in a list, with their keys folded."""
    entries = value if isinstance(value, list) else []
    return [{str(key).lower(): some for key, some in entry.items()} for entry in entries if isinstance(entry, dict)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
