"""Files that go with a message: what Django people have in hand, read piece by piece."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from django.core.files import File

from ..errors import Refused

PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file by the name its reader sees, and its octets. `pieces` reads it anew each time."""

    name: str
    size: int
    pieces: Callable[[], Iterator[bytes]]


def attachments_of(files: Iterable[Any]) -> list[Attachment]:
    """Attachments from paths (str or Path), Django `File`s, and tuples (name, bytes or str, ...) as e-mail has them.

    Raises Refused for what is none of these, or cannot be read.
    """
    if isinstance(files, str | bytes | os.PathLike | File):
        raise Refused("attachments_not_list", given=repr(files))
    return [_attachment(file) for file in files]


def _attachment(file: Any) -> Attachment:
    if isinstance(file, File):
        return Attachment(safe_name(file.name), _size_of(file), lambda: _pieces_of(file))
    if isinstance(file, tuple) and len(file) >= 2 and isinstance(file[1], bytes | str):
        content = file[1].encode() if isinstance(file[1], str) else file[1]
        return Attachment(safe_name(file[0]), len(content), lambda: iter([content]))
    if isinstance(file, str | os.PathLike):
        path = Path(file)
        try:
            size = path.stat().st_size
            path.open("rb").close()
        except OSError as error:
            raise Refused("file_unreadable", file=str(path), reason=str(error.strerror)) from error
        return Attachment(path.name, size, lambda: _pieces_of(File(path.open("rb")), close=True))
    raise Refused("file_wrong_type", file=repr(file))


def _size_of(file: File[Any]) -> int:
    """A file's octets. Raises Refused when it cannot be read."""
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


def safe_name(name: str | None) -> str:
    """A name without folders, and nothing in it that could upset a screen or a disk; "file" when there is none."""
    last = PurePath(str(name or "").replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[:255] or "file"
