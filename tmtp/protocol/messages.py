"""What the server says: headers as octets, framed, with their checksum (tmtp.md sections 1 to 4)."""

from __future__ import annotations

from typing import Any

import google_crc32c
import msgspec

from .values import format_msgid, format_posted

REASON_MAX = 500  # characters: it may quote a name as long as a header, and must fit beside an id
_encoder = msgspec.json.Encoder(order="sorted")


def encode_header(members: dict[str, Any]) -> bytes:
    """`members` as compact JSON with sorted keys, framed with its length. Raises ValueError over 65,535 octets."""
    return frame(_encoder.encode(members))


def frame(header: bytes) -> bytes:
    """A header behind its length in hex digits. Raises ValueError over 65,535 octets."""
    if len(header) > 0xFFFF:
        raise ValueError("header too long")
    return b"%04x%b" % (len(header), header)


def quit_message(reason: str) -> bytes:
    """The last word on a link."""
    return encode_header({"op": "quit", "error": reason})


def tmtprev(site_name: str, openid: dict[str, Any]) -> bytes:
    """The answer to op 0; `openid` has `auth` and `authby` when providers are configured."""
    return encode_header({"op": "tmtprev", "id": "1", "name": site_name, **openid})


def registered(uid: str, nodeid: str, error: str | None) -> bytes:
    """The answer to op 1; `error` is why the alias was refused."""
    members = {"op": "registered", "uid": uid, "nodeid": nodeid}
    return encode_header({**members, "error": error} if error else members)


def login_ok(ohi: list[str]) -> bytes:
    """The answer to a login; `ohi` are the uids who announce themselves to this user and are online."""
    members: dict[str, Any] = {"op": "info", "info": "login ok"}
    return encode_header({**members, "ohi": ohi} if ohi else members)


def ack(request_id: str, number: int | None = None) -> bytes:
    """A request was done; `number` is the message it made, where section 4 says so."""
    if number is None:
        return encode_header({"op": "ack", "id": request_id})
    members = {"op": "ack", "id": request_id, "msgid": format_msgid(number), "posted": format_posted(number)}
    return encode_header(members)


def ack_error(request_id: str, reason: str) -> bytes:
    """A request was not done, and nothing has changed."""
    return encode_header({"op": "ack", "id": request_id, "error": reason[:REASON_MAX]})


def ohi(uid: str, status: int) -> bytes:
    """A user is online (1) or offline (2)."""
    return encode_header({"op": "ohi", "from": uid, "status": status})


def queued_message(op: str, number: int, sender: str, datalen: int, members: dict[str, Any]) -> bytes:
    """The frame's head of a message that waits in queues: (std) and `members`, with `headsum` added.

    The checksum is CRC-32C over the framed header as it is without it (section 2).
    """
    members = {key: value for key, value in members.items() if value or key == "for"}
    members |= {
        "op": op,
        "id": format_msgid(number),
        "posted": format_posted(number),
        "from": sender,
        "datalen": datalen,
    }
    return _summed(members)


def with_members(head: bytes, members: dict[str, Any]) -> bytes:
    """A queued message's head with more members, and the checksum that goes with them; None values are left out."""
    old = msgspec.json.decode(head[4:])
    del old["headsum"]
    return _summed(old | {key: value for key, value in members.items() if value is not None})


def _summed(members: dict[str, Any]) -> bytes:
    """The framed header with `headsum` in its place among the sorted keys; there are always some on both sides."""
    before = _encoder.encode({key: value for key, value in members.items() if key < "headsum"})[:-1]
    after = _encoder.encode({key: value for key, value in members.items() if key > "headsum"})[1:]
    checksum = google_crc32c.value(frame(b"%b,%b" % (before, after)))
    return frame(b'%b,"headsum":%d,%b' % (before, checksum, after))
