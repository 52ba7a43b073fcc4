"""Downloads: files and long texts of messages, for the mailbox's owner only."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponseBase

from ...downloads import PIECE, download
from ...models import Node
from ...services.messages.attachments import safe_name
from ...services.messages.post_format import FILE, Attached
from ..access import message_of
from ..decorators import mailbox_page


@mailbox_page("GET")
def attachment(request: HttpRequest, node: Node, msgid: str, place: int) -> HttpResponseBase:
    """Download an attachment, by its place in the message."""
    received = message_of(node, msgid)
    try:
        files = received.attachments
        attached = files[place]
        pieces = received.pieces(attached, PIECE)
        first = next(pieces, b"")  # raises now if the file is gone, not in the middle of the response
    except (IndexError, FileNotFoundError) as error:
        raise Http404 from error
    if attached.kind != FILE:
        raise Http404
    return download(request, safe_name(attached.name), attached.size, first, pieces)


@mailbox_page("GET")
def text(request: HttpRequest, node: Node, msgid: str) -> HttpResponseBase:
    """Download the whole text of a message."""
    received = message_of(node, msgid)
    try:
        head = received.head
        whole = Attached("text", FILE, head.text_at, head.text_size)
        pieces = received.pieces(whole, PIECE)
        first = next(pieces, b"")
    except FileNotFoundError as error:
        raise Http404 from error
    return download(request, f"{msgid}.txt", whole.size, first, pieces)
