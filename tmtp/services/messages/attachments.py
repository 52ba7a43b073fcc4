"""Attachments of the site's messages: files in any form that Django code has them, read in pieces, with safe names."""

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
NAME_MAX_OCTETS = 255  # of UTF-8, the limit of most file systems
SUFFIX_MAX_OCTETS = 32
DEFAULT_NAME = "file"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_NAMES = re.compile(r'[<>:"|?*/\\]')  # on Windows, or anywhere
# Names that Windows reserves for devices.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file: the name that readers see, and its size in octets. Each call of `read` starts at the beginning."""

    name: str
    size: int
    read: Callable[[], Iterator[bytes]]

    def pieces(self) -> Iterator[bytes]:
        """Yield the octets in pieces. Raise Refused if the file cannot be read any more, or its size has changed."""
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
    """Return attachments made from paths (str or Path), Django `File`s, and tuples (name, bytes or str, ...).

    Raise Refused for anything else, and for a file that cannot be read.
    """
    if isinstance(files, str | bytes | os.PathLike | File):
        raise Refused("attachments_not_list", given=repr(files))
    return [_attachment(file) for file in files]


def _attachment(file: Any) -> Attachment:
    if isinstance(file, Attachment):
        return file
    if isinstance(file, File):
        return Attachment(safe_name(file.name), _size_of(file), lambda: _pieces_of(file))
    if isinstance(file, tuple) and len(file) >= 2 and isinstance(file[1], bytes | str):
        content = file[1] if isinstance(file[1], bytes) else _encoded(file[0], file[1])
        return Attachment(safe_name(file[0]), len(content), lambda: iter([content]))
    if isinstance(file, str | os.PathLike):
        return _file_at(file)
    raise Refused("file_wrong_type", file=repr(file))


def _file_at(path: str | os.PathLike[str]) -> Attachment:
    """Return the file at a path. Raise Refused if the path is not UTF-8, or the file cannot be read."""
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
    """Return the file's size in octets. Raise Refused if it cannot be read."""
    try:
        if isinstance(file.file, io.TextIOBase):  # `size` may count characters
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
    """Return a file's name without folders, and without characters that are unsafe on a screen or in a file system.

    It has at most NAME_MAX_OCTETS octets of UTF-8, and keeps its extension. It is DEFAULT_NAME if nothing is left.
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
    most = NAME_MAX_OCTETS - len(suffix.encode())
    return stem.encode()[:most].decode(errors="ignore").rstrip(" ") + suffix or DEFAULT_NAME
