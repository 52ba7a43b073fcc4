"""Downloads that are sent in pieces.

The browser saves them, and never displays or runs them, whatever they contain: what strangers send must not act as a
page of the site.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

PIECE = 256 * 1024


def download(
    request: HttpRequest, name: str, size: int | None, first: bytes, pieces: Iterator[bytes]
) -> StreamingHttpResponse:
    """Return a download with this file name, which keeps one piece in memory at a time. `size` may be unknown.

    `pieces` are closed at the end, or when the browser breaks off.
    """
    content = _read_async(first, pieces) if isinstance(request, ASGIRequest) else _read(first, pieces)
    answer = StreamingHttpResponse(content, content_type="application/octet-stream")
    answer["Content-Disposition"] = content_disposition_header(True, name)
    if size is not None:
        answer["Content-Length"] = str(size)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    answer["Cross-Origin-Resource-Policy"] = "same-origin"
    return answer


def _read(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from pieces
    finally:
        _close(pieces)


async def _read_async(first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces. Under ASGI, Django would read a synchronous iterator to its end before sending it.

    One thread reads them all, since a connection to the database belongs to a thread; at the end it is closed.
    """
    thread = ThreadPoolExecutor(1, "tmtp download")
    context, loop = copy_context(), asyncio.get_running_loop()

    def next_piece() -> bytes:
        return next(pieces, b"")

    try:
        yield first
        while piece := await loop.run_in_executor(thread, context.run, next_piece):
            yield piece
    finally:
        thread.submit(_close_in_thread, pieces)
        thread.shutdown(wait=False)


def _close_in_thread(pieces: Iterator[bytes]) -> None:
    try:
        _close(pieces)
    finally:
        connections.close_all()


def _close(pieces: Any) -> None:
    if hasattr(pieces, "close"):
        pieces.close()
