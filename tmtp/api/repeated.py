"""Requests to send that have a key: what was sent with it before, and whether the request is the same.

As draft-ietf-httpapi-idempotency-key-header says: the same request gets the same answer, and another one with the same
key is refused. Of two at the same time, the second waits for the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from tmtp.protocol.values import format_msgid, parse_msgid
from tmtp.services.messages.post_format import plain

from .errors import Refused
from .models import Token, TokenMessage
from .schemas import NewMessage

PIECE = 64 * 1024


def key_of(token: Token, new: NewMessage) -> str:
    """Return the key for `send_message`. Keys of other tokens are others. Raise Refused if it is not valid text."""
    return f"api {token.pk} {plain(new.key, 'the key')}" if new.key else ""


def hash_of(new: NewMessage, files: Sequence[Any]) -> bytes:
    """Return the hash of a request: a message, without its key, and its files. It is empty for one without a key."""
    if not new.key:
        return b""
    whole = hashlib.sha256(new.model_dump_json(exclude={"key", "attachments"}, exclude_defaults=True).encode())
    for file in files:
        name, size, content = _file(file)
        whole.update(f"{len(name)} {name} {size} ".encode(errors="surrogatepass"))
        for piece in content:
            whole.update(piece)
    return whole.digest()


def _file(file: Any) -> tuple[str, int, Iterable[bytes]]:
    if isinstance(file, tuple):
        return file[0], len(file[1]), [file[1]]
    return file.name or "", file.size or 0, file.chunks(PIECE)


def sent_before(key: str, request: bytes) -> list[str]:
    """Return the msgids that were sent with this key. Raise Refused if they were sent by another request."""
    if not key:
        return []
    found = list(TokenMessage.objects.filter(message__key=key).order_by("message__place"))
    _check(found, request)
    return [format_msgid(one.message_id) for one in found]


def note(token: Token, msgids: Iterable[str], request: bytes) -> None:
    """Note what was sent. Raise Refused if another request has sent it, a moment ago, with the same key."""
    numbers = [parse_msgid(msgid) for msgid in msgids]
    rows = [TokenMessage(message_id=number, token=token, request=request) for number in numbers]
    TokenMessage.objects.bulk_create(rows, ignore_conflicts=True)
    if request:
        _check(TokenMessage.objects.filter(message__in=numbers), request)


def _check(rows: Iterable[TokenMessage], request: bytes) -> None:
    if any(bytes(one.request) not in (b"", request) for one in rows):
        raise Refused("key_reused")
