"""The files of a Go server's data directory, as they will be when that server has started again.

At its start it moves complete records from userdb/temp into place, so those are read instead. Unfinished files (.tmp)
were acknowledged to nobody, nor was what is in qstore/temp.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from .records import Damaged, GroupRecord, Record, UserRecord, check_uid, open_file, read_record, unescape

DEFUNCT = "*defunct"
Problem = Callable[[Path, str], None]
_QUEUE = re.compile("(?P<uid>.{32})[.](?P<number>[0-9a-f]{2})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Queue:
    """The folder with what waits for a device: the uid, the device's number, and the files in order."""

    path: Path
    uid: str
    number: int

    def files(self) -> list[Path]:
        """Return its files in the order of delivery."""
        return sorted(self.path.iterdir(), key=lambda file: os.fsencode(file.name))


class Folder:
    """A data directory. `problem` is told of each file that cannot be imported, and why."""

    def __init__(self, path: Path, problem: Problem) -> None:
        self.path = path
        self._problem = problem
        self._userdb = path / "userdb"
        self._complete = self._complete_records()

    def users(self) -> Iterator[tuple[Path, str, UserRecord]]:
        """Read the records of users: (file, uid, record)."""
        yield from self._records("user", UserRecord, _uid)

    def groups(self) -> Iterator[tuple[Path, str, GroupRecord]]:
        """Read the records of groups: (file, gid, record)."""
        yield from self._records("group", GroupRecord, unescape)

    def links(self) -> Iterator[tuple[Path, str, str]]:
        """Read the links of aliases: (link, alias, uid or DEFUNCT)."""
        for path in self._files(self._userdb / "alias"):
            try:
                name = unescape(path.name)
                if not path.is_symlink():
                    raise Damaged(_("not a symbolic link"))
                target = os.readlink(path)
                if target != DEFUNCT:
                    check_uid(target)
            except (Damaged, OSError) as error:
                self._problem(path, str(error))
            else:
                yield path, name, target

    def queues(self) -> Iterator[Queue]:
        """Find the queues of devices."""
        for folder in self._files(self.path / "qstore"):
            if folder.name == "temp":
                continue
            if not folder.is_dir():
                self._problem(folder, _("unknown; the queues of devices are in folders of four letters"))
                continue
            for path in self._files(folder):
                queue = self._queue(path)
                if queue:
                    yield queue

    def _queue(self, path: Path) -> Queue | None:
        found = _QUEUE.fullmatch(path.name)
        try:
            if not found or found["uid"] != found["uid"].lower() or not path.name.startswith(path.parent.name):
                raise Damaged(_("unknown; the queue of a device is called by its uid and its number"))
            check_uid(found["uid"].upper())
            if not path.is_dir() or len(path.parent.name) != 4:
                raise Damaged(_("unknown; the queue of a device is a folder"))
        except Damaged as damaged:
            self._problem(path, str(damaged))
            return None
        return Queue(path, found["uid"].upper(), int(found["number"], 16))

    def unknown(self) -> None:
        """Report what is in userdb and is none of its parts."""
        for path in self._files(self._userdb):
            if path.name not in ("user", "group", "alias", "temp") or not path.is_dir():
                self._problem(path, _("unknown"))

    def _records(
        self, kind: str, record: type[Record], name_of: Callable[[str], str]
    ) -> Iterator[tuple[Path, str, Record]]:
        """Read the records of a kind. Of one that is in temp, read that."""
        complete = {path.name.removeprefix(f"{kind}_"): path for path in self._complete if path.name.startswith(kind)}
        in_place = {path.name: path for path in self._files(self._userdb / kind)}
        for file_name in sorted(in_place.keys() | complete.keys()):
            for path in filter(None, (complete.get(file_name), in_place.get(file_name))):
                try:
                    with open_file(path) as file:
                        found = read_record(file.read(), record)
                    yield path, name_of(file_name), found
                    break
                except (Damaged, OSError) as error:
                    self._problem(path, str(error))

    def _complete_records(self) -> list[Path]:
        found = [path for path in self._files(self._userdb / "temp") if path.suffix != ".tmp"]
        for path in found:
            if not path.name.startswith(("user_", "group_")):
                self._problem(path, _("unknown; complete records in temp are called user_… or group_…"))
        return found

    def _files(self, folder: Path) -> list[Path]:
        """Return what is in a folder, in order. Report a folder that cannot be read."""
        try:
            return sorted(folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            self._problem(folder, error.strerror or str(error))
            return []


def _uid(file_name: str) -> str:
    check_uid(file_name)
    return file_name
