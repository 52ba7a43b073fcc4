"""The messages that wait at a Go server: a file for each message and each device, in a folder for each device."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import msgspec
from django.utils.translation import gettext as _

from ..protocol.messages import without_member
from ..protocol.values import is_msgid, parse_msgid
from .records import Damaged, open_file

FILE_NAME = re.compile("([EM])([0-9a-f]{16})")
OPS = {"login", "user", "ohiedit", "invite", "member", "delivery", "notify", "ping"}
PIECE = 256 * 1024
_HEADSUM = re.compile(rb',"headsum":(\d{1,10})\b|"headsum":(\d{1,10}),')
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")


class Header(msgspec.Struct):
    """What the import reads of a message's header."""

    op: str
    id: str
    from_: str = msgspec.field(name="from")
    datalen: int = 0
    nodeid: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for a device. `head` is the frame's head without a nodeid, which is a secret."""

    path: Path
    number: int
    first: bool  # whether it has priority
    op: str
    sender: str
    head: bytes
    size: int
    nodeid: str
    _start: int

    def pieces(self) -> Iterator[bytes]:
        """Read the body."""
        with open_file(self.path) as file:
            file.seek(self._start)
            while piece := file.read(PIECE):
                yield piece


def parse_file_name(name: str) -> tuple[bool, int]:
    """Return whether the message has priority, and its number. Raise Damaged for any other file."""
    found = FILE_NAME.fullmatch(name)
    if not found or not is_msgid(found[2]):
        raise Damaged(_("not a message: a message is called E or M and its msgid"))
    return found[1] == "E", parse_msgid(found[2])


def read_message(path: Path) -> Waiting | None:
    """Return the message in a file, None if it is to be skipped. Raise Damaged or OSError."""
    first, number = parse_file_name(path.name)
    with open_file(path) as file:
        length = os.fstat(file.fileno()).st_size
        if not length:
            return None
        head = _read_head(file)
    header = _checked(head)
    if header.op not in OPS:
        raise Damaged(_("“%s” is no kind of message that waits") % ascii(header.op)[1:-1])
    if header.id != path.name[1:]:
        raise Damaged(_("the message in it has another id: %s") % ascii(header.id)[1:-1])
    if header.datalen != length - len(head):
        there = {"there": length - len(head), "datalen": header.datalen}
        raise Damaged(_("%(there)s octets of data instead of %(datalen)s") % there)
    bare = without_member(head, "nodeid") if header.nodeid else head
    return Waiting(path, number, first, header.op, header.from_, bare, header.datalen, header.nodeid, len(head))


def _read_head(file: BinaryIO) -> bytes:
    digits = file.read(4)
    if not _HEX.fullmatch(digits):
        raise Damaged(_("it does not begin with four hex digits"))
    header = file.read(int(digits, 16))
    if len(header) < int(digits, 16):
        raise Damaged(_("it ends within the header"))
    return digits + header


def _checked(head: bytes) -> Header:
    """Return the header of a frame. Raise Damaged unless it is one with the right headsum."""
    try:
        header = msgspec.json.decode(head[4:], type=Header)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Damaged(_("no header of a message: %s") % error) from None
    found = _HEADSUM.search(head, 4)
    bare = head[4 : found.start()] + head[found.end() :] if found else b""
    if not found or int(found[1] or found[2]) != google_crc32c.value(b"%04x%b" % (len(bare), bare)):
        raise Damaged(_("its headsum is wrong"))
    return header
