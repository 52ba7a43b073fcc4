"""Encode the messages of the server: framed headers, with a checksum (tmtp.md sections 1 to 4)."""

from __future__ import annotations

from typing import Any

import google_crc32c
import msgspec

from .values import format_msgid, format_posted

LENGTH_MAX = 0xFFFF  # octets of a header, whose length is four hex digits
REASON_MAX = 500  # characters; a reason may quote a very long name, and must fit into a header with an id
CONTACTS_MAX = 1800  # uids that fit into the header of `login_ok`
_encoder = msgspec.json.Encoder(order="sorted")


def encode_header(members: dict[str, Any]) -> bytes:
    """Encode `members` as compact JSON with sorted keys, and frame it. Raise ValueError above 65,535 octets."""
    return frame(_encoder.encode(members))


def frame(header: bytes) -> bytes:
    """Return a header after its length in four hex digits. Raise ValueError above 65,535 octets."""
    if len(header) > LENGTH_MAX:
        raise ValueError("header too long")
    return b"%04x%b" % (len(header), header)


def quit_message(reason: str) -> bytes:
    """Return the message that ends a link."""
    return encode_header({"op": "quit", "error": reason})


def tmtprev(site_name: str, openid: dict[str, Any]) -> bytes:
    """Return the answer to op 0. `openid` has `auth` and `authby` if providers are configured."""
    return encode_header({"op": "tmtprev", "id": "1", "name": site_name, **openid})


def registered(uid: str, nodeid: str, error: str | None) -> bytes:
    """Return the answer to op 1. `error` says why the alias was refused, if it was."""
    members = {"op": "registered", "uid": uid, "nodeid": nodeid}
    return encode_header({**members, "error": error} if error else members)


def login_ok(ohi: list[str]) -> bytes:
    """Return the answer to op 2. `ohi` are the uids of online users who announce themselves to this one (op 4).

    There may be CONTACTS_MAX of them.
    """
    members: dict[str, Any] = {"op": "info", "info": "login ok"}
    return encode_header({**members, "ohi": ohi} if ohi else members)


def ack(request_id: str, number: int | None = None) -> bytes:
    """Acknowledge a request. `number` is the message it created, for the ops for which section 4 has `msgid`."""
    if number is None:
        return encode_header({"op": "ack", "id": request_id})
    members = {"op": "ack", "id": request_id, "msgid": format_msgid(number), "posted": format_posted(number)}
    return encode_header(members)


def ack_error(request_id: str, reason: str) -> bytes:
    """Refuse a request, which has changed nothing."""
    return encode_header({"op": "ack", "id": request_id, "error": reason[:REASON_MAX]})


def ohi(uid: str, status: int) -> bytes:
    """Announce that a user is online (status 1) or offline (2)."""
    return encode_header({"op": "ohi", "from": uid, "status": status})


def queued_message(op: str, number: int, sender: str, datalen: int, members: dict[str, Any]) -> bytes:
    """Return the framed header of a queued message: the standard members, `members` and `headsum`.

    `headsum` is the CRC-32C of the framed header without that member (section 2).
    """
    header: dict[str, Any] = {
        "op": op,
        "id": format_msgid(number),
        "posted": format_posted(number),
        "from": sender,
        "datalen": datalen,
    }
    for key, value in members.items():
        if value or key == "for":
            header[key] = value
    return _summed(header)


def with_members(head: bytes, members: dict[str, Any]) -> bytes:
    """Add members to the header of a queued message, and update its `headsum`. Members that are None are left out."""
    old = msgspec.json.decode(head[4:])
    del old["headsum"]
    return _summed(old | {key: value for key, value in members.items() if value is not None})


def without_member(head: bytes, name: str) -> bytes:
    """Remove a member from the header of a queued message, and update its `headsum`."""
    old = msgspec.json.decode(head[4:])
    return _summed({key: value for key, value in old.items() if key not in (name, "headsum")})


def _summed(members: dict[str, Any]) -> bytes:
    """Frame a header with `headsum` at its place in the sorted keys, which is just before `id`."""
    header = _encoder.encode(members)
    checksum = b',"headsum":%d' % google_crc32c.value(frame(header))
    length = len(header) + len(checksum)
    if length > LENGTH_MAX:
        raise ValueError("header too long")
    at = header.index(f',"id":"{members["id"]}"'.encode())
    return b"%04x%b%b%b" % (length, header[:at], checksum, header[at:])
