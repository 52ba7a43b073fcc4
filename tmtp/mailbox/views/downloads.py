"""Downloads: files and long texts of messages, for the mailbox's owner only.

The browser saves them, and never displays or runs them, whatever they contain: what strangers send must not act as a
page of the site.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from ...models import Node
from ...services.messages.attachments import safe_name
from ...services.messages.post_format import FILE, Attached
from ..access import message_of
from ..decorators import mailbox_page

PIECE = 256 * 1024


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


def download(
    request: HttpRequest, name: str, size: int, first: bytes, pieces: Iterator[bytes]
) -> StreamingHttpResponse:
    """Return a download with this file name, which keeps one piece in memory at a time."""

    def read() -> Iterator[bytes]:
        yield first
        yield from pieces

    def next_piece() -> bytes:
        return next(pieces, b"")

    async def read_async() -> AsyncIterator[bytes]:
        """Yield the pieces. Under ASGI, Django would read a synchronous iterator to its end before sending it."""
        yield first
        while piece := await sync_to_async(next_piece, thread_sensitive=False)():
            yield piece

    content = read_async() if isinstance(request, ASGIRequest) else read()
    answer = StreamingHttpResponse(content, content_type="application/octet-stream")
    answer["Content-Disposition"] = content_disposition_header(True, name)
    answer["Content-Length"] = str(size)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    answer["Cross-Origin-Resource-Policy"] = "same-origin"
    return answer
