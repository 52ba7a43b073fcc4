"""Cuts the power: leaves in a folder what a disk may hold of what a process did there since the last cut.

`disk.c` records it. What was synced is there. Of each other write, each sector of 512 octets is there or not, and so
is each new, renamed or removed name whose folder was not synced. A write before a sync that failed is not there,
whatever sync came later, unless it was written again (docs/decisions/0022-full-disk-and-lost-database.md).
"""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tmtp.tests.databases import shared_folder

HEADER = struct.Struct("<cIQQ")
SECTOR = 512
DATABASE = "mnm.sqlite3"
KEPT = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-journal", "spool")  # what the disk holds; the rest is left alone


@cache
def shim() -> Path:
    """Compile disk.c, and return the library. Raise OSError or CalledProcessError without a compiler."""
    library = shared_folder() / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


class Record(NamedTuple):
    """What was done: `op` is one of disk.c."""

    op: bytes
    path: Path
    at: int
    data: bytes


@dataclass(eq=False)
class File:
    """A file or folder: what is on the disk of it, and what may be."""

    octets: bytearray = field(default_factory=bytearray)
    names: dict[str, File] | None = None  # of a folder
    pending: list[Record | tuple[str, File | None]] = field(default_factory=list)
    syncs: dict[int, int] = field(default_factory=dict)  # how much was pending when a sync began

    def sync(self, number: int) -> None:
        """Put on the disk what was pending when a sync began."""
        self._take(number, lambda item: True)

    def fail(self, number: int) -> None:
        """Forget what was pending when a sync began."""
        self._take(number, lambda item: False)

    def _take(self, number: int, is_there: Callable[[object], bool]) -> None:
        count = self.syncs.pop(number)
        for item in self.pending[:count]:
            if is_there(item):
                self.apply(item)
        del self.pending[:count]
        self.syncs = {sync: max(0, left - count) for sync, left in self.syncs.items()}

    def apply(self, item: Record | tuple[str, File | None]) -> None:
        """Do to the disk what is pending."""
        if isinstance(item, Record):
            self._write(item.op, item.at, item.data)
            return
        name, entry = item
        assert self.names is not None
        if entry is None:
            self.names.pop(name, None)
        else:
            self.names[name] = entry

    def _write(self, op: bytes, at: int, data: bytes) -> None:
        missing = at - len(self.octets)
        if op == b"T" and missing < 0:
            del self.octets[at:]
            return
        if missing > 0:
            self.octets += bytes(missing)
        self.octets[at : at + len(data)] = data

    def tear(self, chance: float, by: random.Random) -> None:
        """Do a part of what is pending: each sector, and each name, with this chance.

        Changes of one name keep their order.
        """
        given_up: set[str] = set()
        for item in self.pending:
            if isinstance(item, Record):
                for start, sector in _sectors(item):
                    if by.random() < chance:
                        self._write(item.op, start, sector)
            elif item[0] not in given_up and by.random() < chance:
                self.apply(item)
            else:
                given_up.add(item[0])
        self.pending = []
        for entry in (self.names or {}).values():
            entry.tear(chance, by)


def _sectors(record: Record) -> Iterator[tuple[int, bytes]]:
    """Yield what a write does to each sector."""
    if record.op == b"T":
        yield record.at, b""
    start, end = record.at, record.at + len(record.data)
    while start < end:
        until = min(end, start // SECTOR * SECTOR + SECTOR)
        yield start, record.data[start - record.at : until - record.at]
        start = until


class Disk:
    """The disk under a folder."""

    def __init__(self, folder: Path, by: random.Random) -> None:
        self._folder = folder
        self._log = folder / "disk.log"
        self._fail = folder / "fail"
        self._full = folder / "full"
        self._by = by
        self.begin()

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a process is recorded."""
        return {
            "LD_PRELOAD": str(shim()),
            "FAULTS_ROOT": str(self._folder),
            "FAULTS_LOG": str(self._log),
            "FAULTS_FAIL": str(self._fail),
            "FAULTS_FULL": str(self._full),
        }

    def begin(self) -> None:
        """Take what is in the folder for what is on the disk."""
        self._root = File(names={})
        for path in sorted(self._folder.rglob("*")):
            where = path.relative_to(self._folder)
            if where.parts[0] in KEPT:
                folder = self._find(where.parent)
                assert folder.names is not None
                folder.names[where.name] = File(names={}) if path.is_dir() else File(bytearray(path.read_bytes()))
        self._log.write_bytes(b"")

    def fail_next_sync(self, of: str) -> None:
        """Let the next sync of a file fail whose path contains this text."""
        self._fail.write_text(of)

    @property
    def failed(self) -> bool:
        """Whether that sync has come."""
        return not self._fail.exists()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Let the disk be full."""
        self._full.touch()
        try:
            yield
        finally:
            self._full.unlink()

    def cut(self, chance: float | None = None) -> None:
        """Leave what a power cut would leave. No process may use the folder.

        What was not synced is there with this chance, or with one that is chosen anew each time.
        """
        if chance is None:
            chance = self._by.choice([0.0, 0.5, 1.0, self._by.random()])
        now = Replay(self._root, self._folder)
        for record in _records(self._log.read_bytes()):
            now.do(record)
        self._root.tear(chance, self._by)
        for name in (*KEPT, f"{DATABASE}-shm"):
            path = self._folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        there = self._root.names or {}
        for name in KEPT:
            if name in there:
                _restore(there[name], self._folder / name)
        self._log.write_bytes(b"")

    def _find(self, where: Path) -> File:
        found = self._root
        for part in where.parts:
            assert found.names is not None
            found = found.names[part]
        return found


class Replay:
    """What a process saw in the folder, as it does what was recorded."""

    def __init__(self, root: File, folder: Path) -> None:
        self._files: dict[Path, File] = {}
        self._note(folder, root)

    def _note(self, path: Path, file: File) -> None:
        self._files[path] = file
        for name, entry in (file.names or {}).items():
            self._note(path / name, entry)

    def do(self, record: Record) -> None:
        """Do what was recorded. A file that the disk does not hold, such as a lock, is nobody's concern."""
        op, path, at, data = record
        if op == b"C":
            self._name(path, File(names={} if at else None))
        elif op == b"R" and path in self._files:
            moved = self._files.pop(path)
            self._change(path, None)
            self._name(Path(data.decode()), moved)
        elif op == b"U":
            self._files.pop(path, None)
            self._change(path, None)
        elif file := self._files.get(path):
            if op == b"S":
                file.syncs[at] = len(file.pending)
            elif op in b"EF":
                (file.sync if op == b"E" else file.fail)(at)
            else:
                file.pending.append(record)

    def _name(self, path: Path, file: File) -> None:
        self._files[path] = file
        self._change(path, file)

    def _change(self, path: Path, file: File | None) -> None:
        if folder := self._files.get(path.parent):
            folder.pending.append((path.name, file))


def _records(octets: bytes) -> Iterator[Record]:
    at = 0
    while at + HEADER.size <= len(octets):
        op, length, offset, size = HEADER.unpack_from(octets, at)
        at += HEADER.size
        path = Path(octets[at : at + length].decode())
        at += length
        data = octets[at : at + size]
        at += size
        yield Record(op, path, offset, data)


def _restore(file: File, path: Path) -> None:
    if file.names is None:
        path.write_bytes(file.octets)
        return
    path.mkdir(exist_ok=True)
    for name, entry in file.names.items():
        _restore(entry, path / name)
