"""Write a ZIP archive as a stream: whatever its size, little of it is in memory at a time.

Of each file, its entry in the directory at the end is kept, some 700 octets.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

PIECE = 64 * 1024
LARGE = 2**30  # octets; a file that may be larger gets a ZIP64 header, which some old programs cannot read
FIRST_YEAR = 1980  # of the times in a ZIP archive


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the archive: its path, its content in pieces, and about how large it may become, in octets."""

    path: str
    pieces: Iterable[bytes]
    size: int = 0
    time: datetime | None = None


def zipped(parts: Iterable[Part]) -> Generator[bytes]:
    """Yield a ZIP archive of the parts in pieces of about PIECE octets. The parts are read as the pieces are taken."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload]
        for part in parts:
            with archive.open(_info(part), "w", force_zip64=part.size > LARGE) as file:
                for piece in part.pieces:
                    file.write(piece)
                    if sink.size >= PIECE:
                        yield sink.take()
    yield sink.take()


def _info(part: Part) -> ZipInfo:
    time = part.time or timezone.now()
    info = ZipInfo(part.path, (max(time.year, FIRST_YEAR), *time.timetuple()[1:6]))
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    info.compress_type = ZIP_DEFLATED
    return info


class _Sink:
    """A file that can only be written: what was written is taken away in pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, octets: bytes) -> int:
        self._pieces.append(bytes(octets))
        self.size += len(octets)
        return len(octets)

    def flush(self) -> None:
        """Do nothing: there is nowhere to flush to."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces, self.size = [], 0
        return taken


def json_part(path: str, value: Any) -> Part:
    """Return a part with a JSON value."""
    return Part(path, [to_json(value)])


def json_list(path: str, rows: Iterable[Any], size: int = 0) -> Part:
    """Return a part with a JSON array, one row at a time."""
    return Part(path, _listed(rows), size)


def _listed(rows: Iterable[Any]) -> Iterator[bytes]:
    before = b"[\n"
    for row in rows:
        yield before + to_json(row)
        before = b",\n"
    yield b"[]" if before == b"[\n" else b"\n]"


def to_json(value: Any) -> bytes:
    """Return JSON for people, in UTF-8. Half a surrogate pair is written as an escape."""
    text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
    return text.encode(errors="backslashreplace")
