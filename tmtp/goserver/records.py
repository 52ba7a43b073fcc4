"""The records of users and groups that a Go server writes: JSON with a checksum, under escaped names."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote_to_bytes

import google_crc32c
import msgspec
from django.utils.translation import gettext as _
from msgspec import UNSET, UnsetType

from ..protocol.values import NAME_MAX_CHARACTERS, UID_CHARACTERS, decode_base32, looks_like_uid

HASH_CHARACTERS, HASH_OCTETS = 52, 32
_PADDING = "%%%%"  # four zeros of base32, to make whole groups of eight characters
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_CHECKSUM = re.compile(rb'("CheckSum":)\d+(\}\s*)\Z')
# Go escapes these in JSON, wherever they are.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


class Damaged(Exception):
    """A file cannot be imported. The text says why, in the reader's language."""


def open_file(path: Path) -> BinaryIO:
    """Open a file of a data directory. Raise OSError, and Damaged for what the server does not write.

    A link may lead out of the directory, and what is no file may have no end.
    """
    if path.is_symlink():
        raise Damaged(_("a symbolic link"))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged(_("not a file"))
    return os.fdopen(descriptor, "rb")


class Device(msgspec.Struct):
    """A device, by the hash of its secret."""

    Defunct: bool
    Num: int


class AliasPair(msgspec.Struct):
    """One or two aliases, in English and in the user's language. One that was given up is defunct."""

    En: str = ""
    Nat: str = ""
    EnDefunct: bool = False
    NatDefunct: bool = False
    EnTouched: bool = False
    NatTouched: bool = False


class UserRecord(msgspec.Struct):
    """A file of userdb/user, with its members in their order."""

    Nodes: dict[str, Device]
    NonDefunctNodesCount: int
    Aliases: list[AliasPair] | None
    CheckSum: int
    Authentication: dict[str, Any] | UnsetType = UNSET

    @property
    def names(self) -> list[tuple[str, bool]]:
        """The aliases, and whether each was given up."""
        pairs = self.Aliases or ()
        both = [each for pair in pairs for each in ((pair.Nat, pair.NatDefunct), (pair.En, pair.EnDefunct))]
        return [(name, defunct) for name, defunct in both if name]


class OldMember(msgspec.Struct):
    """A member of a group. Status: 1 invited, 2 joined, 3 barred."""

    Alias: str
    Status: int


class GroupRecord(msgspec.Struct):
    """A file of userdb/group."""

    Uid: dict[str, OldMember]
    CheckSum: int


Record = TypeVar("Record", UserRecord, GroupRecord)
_ORDER = {
    UserRecord: ("Nodes", "NonDefunctNodesCount", "Aliases", "Authentication", "CheckSum"),
    GroupRecord: ("Uid", "CheckSum"),
}


def read_record(raw: bytes, kind: type[Record]) -> Record:
    """Return the record in a file. Raise Damaged unless it is one, and its checksum is right."""
    try:
        record = msgspec.json.decode(raw, type=kind)
        right = record.CheckSum in checksums(raw, kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Damaged(_("not a record: %s") % error) from None
    if not right:
        raise Damaged(_("its checksum is wrong"))
    return record


def checksums(raw: bytes, kind: type[UserRecord] | type[GroupRecord]) -> set[int]:
    """Return what the checksum of a record may be: of the file as it is, and of the record written anew.

    The first is right for whatever the server has escaped, the second for a file that was formatted since.
    """
    members = json.loads(raw)
    canonical = {name: members[name] for name in _ORDER[kind] if name in members} | {"CheckSum": 0}
    return {
        int(google_crc32c.value(octets)) for octets in (_CHECKSUM.sub(rb"\g<1>0}", raw.strip()), _encoded(canonical))
    }


def _encoded(record: dict[str, Any]) -> bytes:
    """Return a record as Go writes it: compact, the keys of maps sorted, some signs escaped."""
    maps = ("Nodes", "Uid", "Authentication")
    ordered = {name: dict(sorted(value.items())) if name in maps else value for name, value in record.items()}
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode("utf-8", "surrogatepass")


def unescape(file_name: str) -> str:
    """Return the alias or gid of a file's name, which is escaped as in a URL's query. Raise Damaged."""
    if _BAD_ESCAPE.search(file_name):
        raise Damaged(_("its name is not escaped as an alias or gid is"))
    try:
        name = unquote_to_bytes(file_name.replace("+", " ")).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise Damaged(_("its name is not UTF-8")) from None
    check_name(name)
    return name


def check_name(name: str) -> None:
    """Raise Damaged for an alias or gid that the database cannot store."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Damaged(_("“%s” is not UTF-8") % ascii(name)) from None
    if not name or len(name) > NAME_MAX_CHARACTERS or "\0" in name:
        raise Damaged(_("“%s” is not a name") % ascii(name))


def check_uid(uid: str) -> None:
    """Raise Damaged unless this is a uid."""
    if len(uid) != UID_CHARACTERS or not uid.isascii() or uid != uid.upper() or not looks_like_uid(uid):
        raise Damaged(_("“%s” is not a uid") % ascii(uid)[1:-1])


def decode_hash(text: str) -> bytes:
    """Return the 32 octets of a secret's hash. Raise Damaged."""
    try:
        if len(text) != HASH_CHARACTERS:
            raise ValueError
        return decode_base32(text + _PADDING)[:HASH_OCTETS]
    except ValueError:
        raise Damaged(_("“%s” is not the hash of a secret") % ascii(text)[1:-1]) from None
