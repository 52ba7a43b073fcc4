"""Files that go with a message: what a site has in hand, read piece by piece, under names that harm nobody."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files import File

from ..errors import Refused
from ..text import visible

PIECE = 64 * 1024
NAME_MAX_OCTETS = 255  # of UTF-8: what file systems take
SUFFIX_MAX_OCTETS = 32
NAMELESS = "file"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_NAMES = re.compile(r'[<>:"|?*/\\]')  # on Windows, or anywhere
_DEVICES = re.compile(
    r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE
)  # names that Windows keeps for itself


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file by the name that its reader sees, and its size in octets. `read` starts anew each time."""

    name: str
    size: int
    read: Callable[[], Iterator[bytes]]

    def pieces(self) -> Iterator[bytes]:
        """Yield the octets, piece by piece. Raise Refused when they can no longer be read, or their number changed."""
        left = self.size
        try:
            for piece in self.read():
                left -= len(piece)
                if left < 0:
                    break
                yield piece
        except (OSError, ValueError) as error:
            raise Refused("file_unreadable", file=self.name, reason=_reason(error)) from error
        if left:
            raise Refused("file_changed", file=self.name)


def attachments_of(files: Iterable[Any]) -> list[Attachment]:
    """Return attachments made of paths (str or Path), Django `File`s, and tuples (name, bytes or str, ...).

    Raise Refused for what is none of these, or cannot be read.
    """
    if isinstance(files, str | bytes | os.PathLike | File):
        raise Refused("attachments_not_list", given=repr(files))
    return [_attachment(file) for file in files]


def _attachment(file: Any) -> Attachment:
    if isinstance(file, File):
        return Attachment(safe_name(file.name), _size_of(file), lambda: _pieces_of(file))
    if isinstance(file, tuple) and len(file) >= 2 and isinstance(file[1], bytes | str):
        content = file[1] if isinstance(file[1], bytes) else _encoded(file[0], file[1])
        return Attachment(safe_name(file[0]), len(content), lambda: iter([content]))
    if isinstance(file, str | os.PathLike):
        return _file_at(file)
    raise Refused("file_wrong_type", file=repr(file))


def _file_at(path: str | os.PathLike[str]) -> Attachment:
    """Return the file at a path. Raise Refused for a path that is not UTF-8, and for what is no readable file."""
    try:
        there = Path(os.fsdecode(path))
        there.name.encode()
        size = there.stat().st_size
        there.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or octets that are not UTF-8
        raise Refused("file_unreadable", file=repr(path), reason=_reason(error)) from error
    return Attachment(safe_name(there.name), size, lambda: _pieces_of(File(there.open("rb")), close=True))


def _encoded(name: Any, content: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise Refused("file_unreadable", file=safe_name(name), reason=_reason(error)) from error


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)


def _size_of(file: File[Any]) -> int:
    """Return the file's octets. Raise Refused when it cannot be read."""
    try:
        if isinstance(file.file, io.TextIOBase):  # its size may be in characters
            return sum(len(piece) for piece in _pieces_of(file))
        return file.size
    except (OSError, ValueError, AttributeError) as error:  # a field without a file, a file that is gone or closed
        raise Refused("file_unreadable", file=repr(file), reason=str(error)) from error


def _pieces_of(file: File[Any], close: bool = False) -> Iterator[bytes]:
    try:
        for piece in file.chunks(PIECE):
            yield piece if isinstance(piece, bytes) else piece.encode()
    finally:
        if close:
            file.close()


def safe_name(name: Any) -> str:
    """Return a file's name without folders, and without anything that could upset a screen or a disk.

    It has at most NAME_MAX_OCTETS octets of UTF-8, and keeps its extension. It is "file" when nothing is left.
    """
    printable = _CONTROLS.sub("", str(name or ""))
    folders = [part for part in re.split(r"[/\\]", printable) if part]
    shown = _NOT_IN_NAMES.sub("_", visible(folders[-1] if folders else ""))
    shown = shown.rstrip(" .")  # Windows drops these; nothing else is in "." and ".."
    if _DEVICES.fullmatch(shown):
        shown = f"_{shown}"
    stem, suffix = os.path.splitext(shown)
    if len(suffix.encode()) > SUFFIX_MAX_OCTETS:
        stem, suffix = shown, ""
    room = NAME_MAX_OCTETS - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" ") + suffix or NAMELESS
