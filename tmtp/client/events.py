"""What arrives for a device, in the form that handlers get it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..services.messages.post_format import HEAD_MAX, Attached, Person, parse_head

if TYPE_CHECKING:
    from .client import Client, Sent
    from .link import Head

PIECE = 64 * 1024
TEXT_KEPT = 1024 * 1024  # octets of a text that is kept when the handler has returned


@dataclass(frozen=True, kw_only=True)
class Event:
    """A message. `id` and `posted` are the server's, `sender` is the uid of whoever caused it."""

    client: Client = field(repr=False)
    id: str
    posted: str
    sender: str

    @property
    def is_own(self) -> bool:
        """Return whether another device of the same user has caused it, or this one in a message to itself."""
        return self.sender == self.client.uid


@dataclass(frozen=True, kw_only=True)
class Message(Event):
    """A post. `author` and `readers` are what the sender's program says; `sender` is what the server says.

    `thread` is the id of the thread's first message. Attachments can be read until the handler returns, as can a text
    above 1 MiB.
    """

    author: str
    subject: str
    thread: str
    readers: list[Person]
    attachments: list[ReceivedFile]
    data: IO[bytes] = field(repr=False)
    _text: str | None = field(repr=False)
    _text_at: tuple[int, int] = field(repr=False)

    @property
    def text(self) -> str:
        """The text, in CommonMark."""
        return _text_in(self.data, self._text_at) if self._text is None else self._text

    async def reply(self, text: str, **more: Any) -> Sent:
        """Answer the sender, in the same thread. `more` is for `Client.send`."""
        return await self.client.send(self.sender, self.subject, text, **{"thread": self.thread, **more})


@dataclass(frozen=True)
class ReceivedFile:
    """An attachment. `name` has no folders, and no characters that are unsafe in a file system."""

    name: str
    size: int
    _at: int = field(repr=False)
    _data: IO[bytes] = field(repr=False)

    def read(self) -> bytes:
        """Return its octets."""
        self._data.seek(self._at)
        return self._data.read(self.size)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save it under its name, or with a number when there is such a file, and return its path. Raise OSError."""
        path, file = _new_file(Path(folder), self.name)
        try:
            with file:
                self._data.seek(self._at)
                left = self.size
                while left and (piece := self._data.read(min(PIECE, left))):
                    file.write(piece)
                    left -= len(piece)
        except OSError:
            path.unlink()
            raise
        return path


@dataclass(frozen=True, kw_only=True)
class Ping(Event):
    """A line of text. `author` and `to` are aliases, and the server has checked that `author` is the sender's."""

    author: str
    to: str
    text: str

    async def reply(self, text: str) -> Sent:
        """Ping the sender, from the alias that was pinged."""
        return await self.client.ping(self.author, text, alias=self.to)


@dataclass(frozen=True, kw_only=True)
class Invitation(Event):
    """An invitation to a group. `author` and `to` are aliases."""

    group: str
    author: str
    to: str
    text: str

    async def accept(self) -> None:
        """Join the group, under the alias that was invited."""
        await self.client.join(self.group, alias=self.to)


@dataclass(frozen=True, kw_only=True)
class GroupChange(Event):
    """A member was invited to a group, has joined, left, or changed their alias: `act` invite, join, drop, alias."""

    group: str
    act: str
    alias: str
    new_alias: str


@dataclass(frozen=True)
class Presence:
    """A user who announces themselves to this one is online, or no longer. It is not queued."""

    client: Client = field(repr=False)
    sender: str
    online: bool


@dataclass(frozen=True, kw_only=True)
class Other(Event):
    """Any other message, by its name in the protocol: user, login, ohiedit, notify, delivery between programs."""

    op: str
    head: Head
    data: IO[bytes] = field(repr=False)


def event_of(client: Client, head: Head, data: IO[bytes]) -> Event:
    """Return a queued message as an event."""
    standard: dict[str, Any] = {"client": client, "id": head.id, "posted": head.posted, "sender": head.from_}
    if head.op == "delivery":
        return _delivery(head, data, standard)
    if head.op == "ping":
        return Ping(**standard, author=head.alias, to=head.to, text=_text(data))
    if head.op == "invite":
        return Invitation(**standard, group=head.gid, author=head.alias, to=head.to, text=_text(data))
    if head.op == "member":
        return GroupChange(**standard, group=head.gid, act=head.act, alias=head.alias, new_alias=head.newalias)
    return Other(**standard, op=head.op, head=head, data=data)


def _delivery(head: Head, data: IO[bytes], standard: dict[str, Any]) -> Event:
    parsed = parse_head(data.read(min(head.datahead, HEAD_MAX + 1)), head.datalen, head.datahead)
    if parsed.is_for_devices:
        return Other(**standard, op=head.op, head=head, data=data)
    files = [ReceivedFile(file.name, file.size, file.offset, data) for file in parsed.attachments if _is_file(file)]
    place = parsed.text_at, parsed.text_size
    return Message(
        **standard,
        author=parsed.alias,
        subject=parsed.subject,
        thread=parsed.thread or head.id,
        readers=list(parsed.readers),
        attachments=files,
        data=data,
        _text=_text_in(data, place) if parsed.text_size <= TEXT_KEPT else None,
        _text_at=place,
    )


def _text_in(data: IO[bytes], place: tuple[int, int]) -> str:
    at, size = place
    data.seek(at)
    return data.read(size).decode("utf-8", "replace")


def _is_file(attached: Attached) -> bool:
    return attached.kind == "u:"


def _text(data: IO[bytes]) -> str:
    return data.read().decode("utf-8", "replace")


def _new_file(folder: Path, name: str) -> tuple[Path, IO[bytes]]:
    """Create a file with this name, or with a number in it."""
    stem, suffix = os.path.splitext(name)
    for number in range(1, 10_000):
        path = folder / (name if number == 1 else f"{stem} {number}{suffix}")
        with contextlib.suppress(FileExistsError):
            return path, path.open("xb")
    raise FileExistsError(f"there are too many files called {name} in {folder}")
