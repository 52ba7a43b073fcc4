"""Files of messages, looked at in the browser: pictures, texts and PDF. None of them acts as a page of the site.

A picture is one that the site has made of it (`pictures`). A text is escaped, in a page of the site. A PDF has a type
that no browser takes for a page or a script, and a policy that allows it nothing.
"""

from __future__ import annotations

import io
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header

from ...downloads import PIECE, download
from ...models import Node
from ...services.messages.attachments import safe_name
from ...services.messages.mailbox import Received
from ...services.messages.post_format import FILE, Attached
from ...web.rendering import render_page
from .. import pictures
from ..access import message_of
from ..decorators import mailbox_page
from ..previewable import TEXT_SHOWN, kind_of

KEPT = 86400  # seconds for which a browser keeps a picture


def _file_of(node: Node, msgid: str, place: int, kind: str = "") -> tuple[Received, Attached]:
    """Return an attachment of a kind that can be looked at. Raise Http404."""
    received = message_of(node, msgid)
    try:
        attached = received.attachments[place]
    except (IndexError, FileNotFoundError) as error:
        raise Http404 from error
    shown = kind_of(attached) if attached.kind == FILE else ""
    if not shown or (kind and shown != kind):
        raise Http404
    return received, attached


@mailbox_page("GET")
def view(request: HttpRequest, node: Node, msgid: str, place: int) -> HttpResponse:
    """Show a picture or a text in a page."""
    received, attached = _file_of(node, msgid, place)
    context: dict[str, Any] = {"msgid": msgid, "place": place, "file": attached, "kind": kind_of(attached)}
    if context["kind"] == "text":
        octets = _octets(received, Attached(attached.name, FILE, attached.offset, min(attached.size, TEXT_SHOWN)))
        context |= {"text": octets.decode(errors="replace"), "is_cut": attached.size > TEXT_SHOWN}
    return render_page(request, "tmtp_mailbox/file.html", context)


def _octets(received: Received, attached: Attached) -> bytes:
    try:
        return b"".join(received.pieces(attached))
    except FileNotFoundError as error:
        raise Http404 from error


@mailbox_page("GET")
def _picture(request: HttpRequest, node: Node, msgid: str, place: int, size: str) -> HttpResponse:
    received, attached = _file_of(node, msgid, place, "picture")
    if size not in pictures.SIDES:
        raise Http404
    try:
        made = pictures.reduced(io.BytesIO(_octets(received, attached)), pictures.SIDES[size])
    except pictures.NoPicture as error:
        raise Http404 from error
    answer = HttpResponse(made, content_type=pictures.TYPE)
    answer["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cross-Origin-Resource-Policy"] = "same-origin"
    return answer


def picture(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """Return a picture, small or large, as WebP. The browser keeps it for a day: a message does not change."""
    answer = _picture(request, *args, **kwargs)
    if answer.status_code == 200:
        answer["Cache-Control"] = f"private, max-age={KEPT}"
        del answer["Expires"]
        patch_vary_headers(answer, ["Cookie"])
    return answer


picture.csrf_exempt = True  # type: ignore[attr-defined]  # as _picture, which checks it itself


@mailbox_page("GET")
def pdf(request: HttpRequest, node: Node, msgid: str, place: int) -> HttpResponseBase:
    """Open a PDF in the browser's own viewer."""
    received, attached = _file_of(node, msgid, place, "pdf")
    pieces = received.pieces(attached, PIECE)
    try:
        first = next(pieces, b"")
    except FileNotFoundError as error:
        raise Http404 from error
    if not first.startswith(b"%PDF-"):
        raise Http404
    name = safe_name(attached.name)
    answer = download(request, name, attached.size, first, pieces)
    answer["Content-Type"] = "application/pdf"
    answer["Content-Disposition"] = content_disposition_header(False, name) or "inline"
    return answer
