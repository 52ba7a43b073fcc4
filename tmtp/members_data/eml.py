"""A message as an e-mail (RFC 5322), for the mail programs that open such files. Attachments are streamed.

TMTP has no e-mail addresses. Those in the headers end in `.invalid`, a domain that never exists (RFC 2606, section 2).
Everything in a message comes from its sender, so no header is written without `_encoded` or `_phrase`.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import secrets
from collections.abc import Iterable, Iterator
from email.header import Header
from email.utils import encode_rfc2231, format_datetime

from django.utils.translation import gettext as _

from ..markup import render
from ..models import User
from ..protocol.values import looks_like_uid
from ..services.messages.mailbox import TEXT_MAX, Received
from ..services.messages.post_format import FILE, Attached, Person
from ..services.text import visible
from ..times import aware

DOMAIN = "site.invalid"
LINE = 57  # octets that base64 makes a line of 76 characters of
PIECE = 1000 * LINE
PLAIN_MAX = 60  # characters of ASCII that are written as they are, so that no line becomes too long
CRLF = "\r\n"


def eml(received: Received, me: User, my_name: str) -> Iterator[bytes]:
    """Yield a message of the mailbox of `me` as an e-mail. Raise FileNotFoundError if it is being removed."""
    yield _lines(*_headers(received, me, my_name), "MIME-Version: 1.0")
    attachments = received.attachments
    if not attachments:
        yield from _text(received)
        return
    boundary = _boundary()
    yield _lines(f'Content-Type: multipart/mixed; boundary="{boundary}"', "", f"--{boundary}")
    yield from _text(received)
    for attached in attachments:
        yield _lines("", f"--{boundary}", *_headers_of_file(attached), "")
        yield from _base64(received.pieces(attached, PIECE))
    yield _lines("", f"--{boundary}--")


def _headers(received: Received, me: User, my_name: str) -> Iterator[str]:
    own = received.uid == me.uid
    yield f"Date: {format_datetime(aware(received.posted))}"
    yield f"From: {_address(Person(my_name if own and not received.alias else received.alias, received.uid))}"
    to = [_address(person) for person in _recipients(received, me, my_name)]
    if to:
        yield f"To: {f',{CRLF} '.join(to)}"
    yield f"Subject: {_encoded(_subject(received), len('Subject: '))}"
    yield f"Message-ID: <{received.msgid}@{DOMAIN}>"
    if received.named_thread != received.msgid:
        yield f"In-Reply-To: <{received.named_thread}@{DOMAIN}>"
        yield f"References: <{received.named_thread}@{DOMAIN}>"
    yield f"X-TMTP-Message: {received.op}"


def _recipients(received: Received, me: User, my_name: str) -> list[Person]:
    """Return those whom the message names as readers. A message from others has come to the member at least."""
    to = list(received.readers) if received.op in ("delivery", "notify") else []
    if received.op in ("ping", "invite") and received.uid == me.uid:
        to.append(Person(str(received.header.get("to", "")), ""))
    if received.uid != me.uid and me.uid not in {person.uid for person in to}:
        to.append(Person(my_name, me.uid))
    return to


def _subject(received: Received) -> str:
    if received.op == "ping":
        return _("Ping")
    if received.op == "invite":
        return _("Invitation to the group %(group)s") % {"group": received.header.get("gid", "")}
    return received.subject


def _address(person: Person) -> str:
    """Return a name and an address that does not exist. A group, or somebody whose uid is unknown, gets a hash."""
    local = person.uid
    if not looks_like_uid(local):
        local = "group." + hashlib.sha256((person.uid or person.alias).encode(errors="replace")).hexdigest()[:32]
    return f"{_phrase(visible(person.alias) or person.uid)} <{local}@{DOMAIN}>"


def _phrase(name: str) -> str:
    """Return a display name: a quoted string, or encoded words (RFC 2047, section 5)."""
    if _is_plain(name):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return _words(name, 10)


def _encoded(text: str, used: int = 0) -> str:
    """Return a text for a header, as encoded words if it needs them. `used` are the characters before it."""
    text = visible(text)
    return text if _is_plain(text) else _words(text, used)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= PLAIN_MAX and "=?" not in text


def _words(text: str, used: int) -> str:
    """Return encoded words of 75 characters at most, on lines of their own (RFC 2047, section 2)."""
    return Header(text, "utf-8", maxlinelen=75, header_name=" " * used).encode(linesep=CRLF)


def _text(received: Received) -> Iterator[bytes]:
    """Yield the headers and the content of the text: CommonMark, and HTML unless it is very long."""
    head = received.head
    whole = Attached("text", FILE, head.text_at, head.text_size)
    if head.text_size > TEXT_MAX:
        yield from _part("text/plain; charset=utf-8", received.pieces(whole, PIECE))
        return
    boundary = _boundary()
    yield _lines(f'Content-Type: multipart/alternative; boundary="{boundary}"', "", f"--{boundary}")
    yield from _part("text/plain; charset=utf-8", received.pieces(whole, PIECE))
    yield _lines("", f"--{boundary}")
    yield from _part("text/html; charset=utf-8", [str(render(received.text)).encode(errors="replace")])
    yield _lines("", f"--{boundary}--")


def _part(kind: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield _lines(f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", "")
    yield from _base64(pieces)


def _headers_of_file(attached: Attached) -> Iterator[str]:
    kind = mimetypes.guess_type(attached.name)[0] or ""
    if kind.partition("/")[0] not in ("application", "audio", "font", "image", "text", "video"):
        kind = "application/octet-stream"  # base64 is not allowed in message/… and multipart/… (RFC 2045, section 6.4)
    yield f"Content-Type: {kind}"
    yield "Content-Transfer-Encoding: base64"
    name = attached.name
    if name.isascii() and not set(name) & set('"\\'):
        yield f'Content-Disposition: attachment; filename="{name}"'
    else:
        yield f"Content-Disposition: attachment;{CRLF} filename*={encode_rfc2231(name, 'utf-8')}"


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces as base64, in lines of 76 characters."""
    left = b""
    for piece in pieces:
        left += piece
        whole = len(left) - len(left) % LINE
        if whole:
            yield base64.encodebytes(left[:whole]).replace(b"\n", b"\r\n")
            left = left[whole:]
    if left:
        yield base64.encodebytes(left).replace(b"\n", b"\r\n")


def _boundary() -> str:
    """Return a line that no part contains: base64 has no “_”."""
    return f"=_{secrets.token_hex(16)}"


def _lines(*lines: str) -> bytes:
    return "".join(line + CRLF for line in lines).encode()
