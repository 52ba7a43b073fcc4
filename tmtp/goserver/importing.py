"""Import the data directory of a Go server: `manage.py tmtpimport DIR`.

What is here already stays as it is, so that an import can run again, also after one that was killed. Each user, group
and slice of a queue has a transaction of its own. Devices may log in when all queues are here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import UNSET

from ..services.errors import Refused
from ..services.imports.groups import OldMember, take_group
from ..services.imports.people import OldUser, keep_given_up, open_devices, take_name, take_user
from ..services.imports.queues import OldMessage, new_node, take_messages
from .folder import DEFUNCT, Folder, Queue
from .messages import Waiting, read_message
from .records import Damaged, GroupRecord, UserRecord, check_name, check_uid, decode_hash

SLICE = 200  # messages of a queue in one transaction
SLICE_OCTETS = 16 * 2**20
STATUSES = (1, 2, 3)


@dataclass
class Counts:
    """How much an import has added, and how many files it could not import."""

    users: int = 0
    devices: int = 0
    names: int = 0
    members: int = 0
    entries: int = 0
    problems: int = 0

    @property
    def text(self) -> str:
        """What was added, for people."""
        parts = (
            ngettext("%d user", "%d users", self.users) % self.users,
            ngettext("%d device", "%d devices", self.devices) % self.devices,
            ngettext("%d alias", "%d aliases", self.names) % self.names,
            ngettext("%d group member", "%d group members", self.members) % self.members,
            ngettext("%d waiting message", "%d waiting messages", self.entries) % self.entries,
        )
        return _("added: %s") % ", ".join(parts)


class Import:
    """An import. `tell` is given a line for each file that cannot be imported."""

    def __init__(self, path: Path, tell: Callable[[str], object]) -> None:
        self.counts = Counts()
        self._tell = tell
        self._folder = Folder(path, self._problem)
        self._hashes: dict[tuple[str, int], bytes] = {}  # of devices in use, by uid and number
        self._given_up: set[tuple[str, int]] = set()

    def run(self) -> Counts:
        """Import everything. Raise Refused if the disk is full, and errors of the database."""
        self._folder.unknown()
        for path, uid, record in self._folder.users():
            self._try(path, self._user, path, uid, record)
        for path, name, target in self._folder.links():
            self._try(path, self._link, name, target)
        for path, gid, group in self._folder.groups():
            self._try(path, self._group, path, gid, group)
        for queue in self._folder.queues():
            self._try(queue.path, self._queue, queue)
        open_devices()
        return self.counts

    def _problem(self, path: Path, reason: str) -> None:
        self.counts.problems += 1
        self._tell(f"{path}: {reason}")

    def _try(self, path: Path, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Damaged as damaged:
            self._problem(path, str(damaged))
        except OSError as error:
            self._problem(path, error.strerror or str(error))
        except Refused as refused:
            if refused.code not in ("name_taken", "identity_taken", "user_not_found"):
                raise  # the disk is full
            self._problem(path, refused.text_for_people())

    def _user(self, path: Path, uid: str, record: UserRecord) -> None:
        devices = [(decode_hash(text), device) for text, device in record.Nodes.items()]
        in_use = [(old_hash, device.Num) for old_hash, device in devices if not device.Defunct]
        names = [(name, given_up) for name, given_up in record.names if self._is_right(path, check_name, name)]
        identity = _identity(record) if self._is_right(path, _identity, record) else None
        taken = take_user(OldUser(uid, in_use, names, identity))
        self._hashes |= {(uid, number): old_hash for old_hash, number in in_use}
        self._given_up |= {(uid, device.Num) for _hash, device in devices if device.Defunct}
        self.counts.users += taken.users
        self.counts.devices += taken.devices
        self.counts.names += taken.names
        for refused in taken.refused:
            self._problem(path, refused.text_for_people())

    def _is_right(self, path: Path, check: Callable[[Any], object], value: object) -> bool:
        """Return whether a part of a record is right. If not, only this part is left out."""
        try:
            check(value)
        except Damaged as damaged:
            self._problem(path, str(damaged))
            return False
        return True

    def _link(self, name: str, target: str) -> None:
        self.counts.names += keep_given_up(name) if target == DEFUNCT else take_name(name, target)

    def _group(self, path: Path, gid: str, record: GroupRecord) -> None:
        for uid, member in record.Uid.items():
            check_uid(uid)
            check_name(member.Alias)
            if member.Status not in STATUSES:
                raise Damaged(_("%(uid)s has the status %(status)s") % {"uid": uid, "status": member.Status})
        members = [OldMember(uid, member.Alias, member.Status) for uid, member in sorted(record.Uid.items())]
        added, missing = take_group(gid, members)
        self.counts.members += added
        for uid in missing:
            self._problem(path, _("its member %s is not here") % uid)

    def _queue(self, queue: Queue) -> None:
        device = queue.uid, queue.number
        if device in self._given_up:
            return
        if device not in self._hashes:
            raise Damaged(_("no device has this queue"))
        node = new_node(self._hashes[device])
        if node is not None:
            for messages in self._slices(queue):
                self._take(node, messages)

    def _slices(self, queue: Queue) -> Iterator[list[Waiting]]:
        """Read the messages of a queue, so many at a time that they make a transaction."""
        messages: list[Waiting] = []
        for path in queue.files():
            try:
                message = read_message(path)
            except (Damaged, OSError) as error:
                self._problem(path, getattr(error, "strerror", None) or str(error))
                continue
            if message:
                messages.append(message)
            if len(messages) == SLICE or sum(each.size for each in messages) >= SLICE_OCTETS:
                yield messages
                messages = []
        if messages:
            yield messages

    def _take(self, node: int, messages: list[Waiting]) -> None:
        """Import a slice. If a file cannot be read any more, import the others one by one."""
        try:
            added, wrong = take_messages(node, [_old_message(message) for message in messages])
        except (OSError, ValueError) as error:
            if len(messages) == 1:
                self._problem(messages[0].path, str(error))
            else:
                for message in messages:
                    self._take(node, [message])
            return
        self.counts.entries += added
        paths = {message.number: message.path for message in messages}
        for refused in wrong:
            self._problem(paths[refused.number], _("another message here has its id"))


def _old_message(message: Waiting) -> OldMessage:
    return OldMessage(
        message.number,
        message.first,
        message.op,
        message.sender,
        message.head,
        message.size,
        message.pieces(),
        message.nodeid,
    )


def _identity(record: UserRecord) -> tuple[str, str] | None:
    """Return the provider and the person of an OpenID claim, None if the user has shown none."""
    claims = record.Authentication
    if claims is UNSET or not claims:
        return None
    pair = claims.get("Issuer"), claims.get("Subject")
    if not all(isinstance(each, str) and 0 < len(each) <= 255 for each in pair):
        raise Damaged(_("its Authentication has no Issuer and Subject"))
    return str(pair[0]), str(pair[1])
