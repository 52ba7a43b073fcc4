"""The archive of a backup: a tar file with the database, the spool files that it names, and last a manifest.

The manifest has the size and the SHA-256 of each file. An archive without one is not complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.utils.translation import gettext as _

from ..services.storage.unreadable import BodyFile, Unreadable, guarding

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "database"
PIECE = 1024 * 1024
_NAME = re.compile("database|manifest[.]json|spool/[0-9a-f]{32}")


class BackupError(Exception):
    """A backup cannot be taken or restored. The text says why, in the reader's language."""


class Writer:
    """An archive that is being written. It gets its name when it is complete and on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w")
        self.files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file. Raise Unreadable if it cannot be read: then the archive is as it was before."""
        before = self._tar.offset
        try:
            with guarding(name):
                file = BodyFile(path, name)
            with file:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o600
                summed = Summed(cast(BinaryIO, file))
                self._tar.addfile(entry, summed)
        except Unreadable:
            self._file.seek(before)
            self._file.truncate()
            self._tar.offset = before
            raise
        self.files[name] = {"size": entry.size, "sha256": summed.digest}

    def finish(self, about: dict[str, Any]) -> None:
        """Add the manifest, and put the archive in its place."""
        text = json.dumps({"format": FORMAT, **about, "files": self.files}, indent=1).encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mode = len(text), 0o600
        self._tar.addfile(entry, io.BytesIO(text))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def abandon(self) -> None:
        """Remove what was written, unless the archive is complete."""
        self._file.close()
        self._part.unlink(missing_ok=True)


class Summed:
    """A file whose octets are summed while they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` octets."""
        octets = self._file.read(size)
        self._sum.update(octets)
        return octets

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read."""
        return self._sum.hexdigest()


def _read_all(file: Summed) -> int:
    """Read a file to its end, and return how many octets it has."""
    size = 0
    while octets := file.read(PIECE):
        size += len(octets)
    return size


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a whole archive, and return its manifest. Raise BackupError unless every octet is as it was written."""
    found: dict[str, dict[str, Any]] = {}
    manifest: Any = None
    with reading(path) as members:
        for name, file in members:
            if manifest is not None or name in found:
                raise _unexpected(path, name)
            summed = Summed(file)
            if name == MANIFEST:
                manifest = _parsed(path, file.read())
            else:
                found[name] = {"size": _read_all(summed), "sha256": summed.digest}
    if manifest is None:
        raise BackupError(_("%s is not complete: it has no manifest") % path)
    wrong = [
        name for name in found.keys() | manifest["files"].keys() if found.get(name) != manifest["files"].get(name)
    ]
    if wrong or DATABASE not in found:
        raise BackupError(_("%(path)s is damaged: %(name)s") % {"path": path, "name": min(wrong, default=DATABASE)})
    return dict(manifest)


@contextmanager
def reading(path: Path) -> Iterator[Iterator[tuple[str, BinaryIO]]]:
    """Return the files of an archive: (name, file). Raise BackupError if it cannot be read, in the block, too."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield _members(path, tar)
    except (tarfile.TarError, EOFError, ValueError) as error:  # ValueError: a size that no file has
        raise BackupError(_("%(path)s is no backup, or damaged: %(error)s") % {"path": path, "error": error}) from None
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {error.strerror or error}") from None


def _members(path: Path, tar: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    for entry in tar:
        plain = entry.isreg() and not entry.issparse()  # a file with holes may claim any size
        file = tar.extractfile(entry) if plain and _NAME.fullmatch(entry.name) else None
        if file is None:
            raise _unexpected(path, entry.name)
        yield entry.name, file  # type: ignore[misc]


def _unexpected(path: Path, name: str) -> BackupError:
    return BackupError(_("%(path)s is damaged: unexpected %(name)s") % {"path": path, "name": ascii(name)})


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        if (
            manifest["format"] == FORMAT
            and isinstance(manifest["files"], dict)
            and isinstance(manifest["vendor"], str)
        ):
            return dict(manifest)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BackupError(_("%s is damaged: its manifest cannot be read") % path) from None
    raise BackupError(_("%s was written by another version") % path)
