"""What a mail says, for a message that says the same: its text as CommonMark, and its files."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from email.message import Message
from email.utils import collapse_rfc2231_value, getaddresses
from typing import Any

from django.core.mail import EmailMessage
from django.utils.translation import gettext

from .html import convert, words_of
from .plain import from_plain

# Alternatives that say once more what the text says; others, as an invitation to a calendar, are files.
TEXTS = {"text/plain", "text/html", "text/x-amp-html", "text/watch-html", "text/enriched", "text/markdown"}
OF_PARTS = {"multipart/mixed", "multipart/related", "multipart/alternative"}  # others are one thing, as a signed text
EXTENSIONS = {
    "application/ics": ".ics",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/vcard": ".vcf",
}
NAMES = {
    "application/ics": "invitation",
    "image": "picture",
    "message/rfc822": "message",
    "text/calendar": "invitation",
}
File = tuple[str, bytes]


# -- the text


def text_of(mail: EmailMessage) -> str:
    """Return a mail's text as CommonMark: of its HTML if that says anything, else of its plain text.

    HTML of only pictures says less than plain text. Where an answer by e-mail goes, if the mail says so, comes last.
    """
    return "\n\n".join(part for part in (_text(mail), _reply_to(mail)) if part)


def _text(mail: EmailMessage) -> str:
    texts = [(_type(mimetype), _decoded(content, mimetype)) for content, mimetype in _parts(mail)]
    plain = next((text for kind, text in texts if kind == "text/plain" and text.strip()), "")
    pictures = ""
    for html in (text for kind, text in texts if kind == "text/html"):
        converted = convert(html)
        if converted and converted.has_words:
            return converted.text
        pictures = pictures or (converted.text if converted else from_plain(plain or words_of(html)))
    return from_plain(plain) or pictures


def _parts(mail: EmailMessage) -> Iterator[tuple[Any, str]]:
    """Yield a mail's body and the alternatives to it, with their MIME types."""
    yield mail.body, f"text/{mail.content_subtype}"
    for alternative in getattr(mail, "alternatives", None) or []:
        content, mimetype = tuple(alternative)
        yield content, str(mimetype)


def header(mail: EmailMessage, name: str) -> Any:
    """Return an extra header of a mail, whose name may be in any case, or None."""
    return next((value for key, value in mail.extra_headers.items() if key.lower() == name.lower()), None)


def _reply_to(mail: EmailMessage) -> str:
    given = header(mail, "Reply-To")
    addresses = getaddresses([str(given)] if given is not None else [str(address) for address in mail.reply_to])
    names = ", ".join(f"{name} <{address}>" if name else address for name, address in addresses)
    return from_plain(gettext("Answers by e-mail go to: %(addresses)s") % {"addresses": names}) if names else ""


# -- the files


def files_of(mail: EmailMessage) -> list[File]:
    """Return a mail's files, as name and content: its attachments, and alternatives that are no text."""
    files = [
        (_name("", _type(mimetype), _parameter(mimetype, "name")), _octets(content))
        for content, mimetype in _parts(mail)
        if _type(mimetype) not in TEXTS and not (content is mail.body and mimetype == f"text/{mail.content_subtype}")
    ]
    return [*files, *(file for attachment in mail.attachments for file in _files(attachment))]


def _files(attachment: Any) -> Iterator[File]:
    if isinstance(attachment, Message):  # a MIMEBase or a MIMEPart, as Django takes it
        yield from _files_of_part(attachment)
        return
    name, content, mimetype = (*attachment, None, None)[:3]
    kind = _type(str(mimetype or mimetypes.guess_type(str(name or ""))[0] or "application/octet-stream"))
    yield _name(str(name or ""), kind), _octets(content)


def _files_of_part(part: Message) -> Iterator[File]:
    """Yield the files in a part of MIME: those of a container of parts one by one, octet by octet."""
    kind, given = part.get_content_type(), str(part.get_filename() or "")
    payload = part.get_payload()
    inner = [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []
    if kind in OF_PARTS and inner:
        for one in inner:
            yield from _files_of_part(one)
    elif kind == "message/rfc822" and inner:
        yield _name(given, kind, str(inner[0].get("Subject", ""))), inner[0].as_bytes()
    elif inner:  # a report, a signed text: whole, or it says something else
        yield _name(given, "message/rfc822"), part.as_bytes()
    else:
        octets = part.get_payload(decode=True)
        yield _name(given, kind, str(part.get("Content-ID", ""))), octets if isinstance(octets, bytes) else b""


def _name(given: str, kind: str, hint: str = "") -> str:
    """Return a file's name: as it was given, or made of a hint, such as a Content-ID, with an extension."""
    if given:
        return given
    extension = EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ""
    stem = re.sub(r"[^\w. -]+", " ", hint.strip("<> ").partition("@")[0]).strip(" .")[:100]
    stem = stem or NAMES.get(kind) or NAMES.get(kind.partition("/")[0]) or "file"
    return stem if extension and stem.lower().endswith(extension) else stem + extension


def _octets(content: Any) -> bytes:
    if isinstance(content, EmailMessage):
        content = content.message()
    if isinstance(content, Message):
        return content.as_bytes()
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    return str(content).encode("utf-8", "replace")


# -- MIME types


def _type(mimetype: str) -> str:
    return mimetype.partition(";")[0].strip().lower()


def _parameter(mimetype: str, name: str) -> str:
    """Return a parameter of a MIME type, as the charset in “text/html; charset=utf-8”, or ""."""
    message = Message()
    message["Content-Type"] = mimetype
    value = message.get_param(name)
    return collapse_rfc2231_value(value) if value else ""


def _decoded(content: Any, mimetype: str) -> str:
    if not isinstance(content, bytes):
        return str(content)
    try:
        return content.decode(_parameter(mimetype, "charset") or "utf-8", "replace")
    except LookupError:  # no such charset
        return content.decode("utf-8", "replace")
