"""Receive the data of a request: parts of at most INLINE_OCTETS stay in memory, larger ones go to the spool.

The thread that writes a large part also hashes it. If the event loop did, it would have to wait for the interpreter's
lock after each piece.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from ..services.errors import Refused
from ..services.messages.posts import Body
from ..services.storage import object_storage, spool
from ..services.storage.spool import INLINE_OCTETS, Spooled

WRITE_OCTETS = 128 * 1024
SLOW_AFTER = 30.0  # seconds in which data has to arrive at the lowest rate that is allowed
# Read and write files, so that the loop need not wait. So many threads because they mostly wait for the disk, and the
# file system writes what several of them sync at the same time together (docs/decisions/0005-spool.md).
disk = ThreadPoolExecutor(16, thread_name_prefix="tmtp-spool")
transfers = ThreadPoolExecutor(
    16, thread_name_prefix="tmtp-storage"
)  # to and from a storage of bodies, if there is one


class Part:
    """A part of the data: `length` octets, which also go into the request's `digest`."""

    def __init__(self, length: int, digest: hashlib._Hash) -> None:
        self.left = length
        self._digest = digest
        self._spools = length > INLINE_OCTETS
        self._length = length
        self._pieces: list[bytes] = []
        self._octets = 0
        self._name = ""
        self._file: BinaryIO | None = None
        self.error: OSError | None = None

    async def add(self, piece: bytes) -> None:
        """Take the next octets."""
        self.left -= len(piece)
        self._pieces.append(piece)
        self._octets += len(piece)
        if self._spools:
            if self._octets >= WRITE_OCTETS or not self.left:
                await self._spool()
        elif not self.left:
            self._pieces = [b"".join(self._pieces)]
            self._digest.update(self._pieces[0])

    def take(self) -> Body:
        """Return the whole part. A spooled part is synced to disk. The caller then owns its file."""
        if not self._spools:
            return b"".join(self._pieces)
        name, self._name = self._name, ""
        return Spooled(name, self._length)

    def abandon(self) -> None:
        """Remove the file of a part that was not taken."""
        if self._file:
            self._file.close()
        if self._name:
            spool.discard([self._name])
            self._name = ""

    async def _spool(self) -> None:
        pieces, self._pieces, self._octets = self._pieces, [], 0
        if self.error is None:
            last = not self.left
            threads = transfers if last and object_storage.is_used() else disk
            await asyncio.get_running_loop().run_in_executor(threads, self._write, pieces, last)

    def _write(self, pieces: Sequence[bytes], last: bool) -> None:
        """Append to the file. When the disk is full or broken, keep the error and skip the rest of the data."""
        try:
            if self._file is None:
                self._name, self._file = spool.create()
            data = b"".join(pieces)
            self._digest.update(data)
            spool.write(self._file, data)
            if last:
                spool.finish(self._name, self._file)
                self._file = None
        except OSError as error:
            self.error = error
            self.abandon()


class Whole:
    """The data of a request, if it is small and has arrived together with the header."""

    __slots__ = ("_data", "_header", "_lengths", "refused")
    spooled_octets = 0
    error = None

    def __init__(self, header: bytes, data: bytes, lengths: Sequence[int]) -> None:
        self._header = header
        self._data = data
        self._lengths = lengths
        self.refused: Refused | None = None  # set if the request is refused already

    @property
    def digest(self) -> bytes:
        """The SHA-256 digest of the header and the data."""
        return hashlib.sha256(self._header + self._data).digest()

    def take(self) -> list[Body]:
        """Return all parts."""
        first = self._lengths[0]
        return [self._data] if first == len(self._data) else [self._data[:first], self._data[first:]]

    def abandon(self) -> None:
        """Do nothing: no part has a file."""


class Incoming:
    """The data of a request: its parts one after another, and the digest by which it is recognised if sent again.

    `refused` is set if the request is refused already. Its data is then discarded as it arrives.
    """

    def __init__(self, header: bytes, lengths: Sequence[int]) -> None:
        self._digest = hashlib.sha256(header)
        self.parts = [Part(length, self._digest) for length in lengths]
        self._at = 0
        self.refused: Refused | None = None
        self._since = time.monotonic()  # when `_octets` were counted from
        self._octets = 0
        self.is_busy = False  # whether the disk or the storage is waited for

    @property
    def spooled_octets(self) -> int:
        """The octets that go to the spool when all data has arrived."""
        return sum(part.left for part in self.parts if part.left > INLINE_OCTETS)

    async def add(self, piece: bytes) -> None:
        """Take the next octets, which may belong to several parts."""
        self._octets += len(piece)
        if self.refused:
            return
        self.is_busy = True
        begun = time.monotonic()
        while piece:
            part = self.parts[self._at]
            mine, piece = piece[: part.left], piece[part.left :]
            await part.add(mine)
            if not part.left:
                self._at += 1
        self.is_busy = False
        self.excuse(time.monotonic() - begun)

    def excuse(self, seconds: float) -> None:
        """Do not count a time in which the server has not read from the link."""
        self._since += seconds

    def is_slow(self, now: float, least: float) -> bool:
        """Return whether less than `least` octets per second have arrived in the last SLOW_AFTER seconds."""
        seconds = now - self._since
        if self.is_busy or seconds < SLOW_AFTER:
            return False
        slow = self._octets < least * seconds
        self._since, self._octets = now, 0
        return slow

    @property
    def digest(self) -> bytes:
        """The SHA-256 digest of the header and the data."""
        return self._digest.digest()

    @property
    def error(self) -> OSError | None:
        """The error of the first part that could not be spooled, or None."""
        return next((part.error for part in self.parts if part.error), None)

    def take(self) -> list[Body]:
        """Return all parts as `Part.take` does."""
        return [part.take() for part in self.parts]

    def abandon(self) -> None:
        """Remove the files of all parts that were not taken."""
        for part in self.parts:
            part.abandon()
