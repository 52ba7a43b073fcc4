"""Read what a form sends, even if it is more than Django's settings allow: then the form says so beside the field.

By itself, Django answers with a bare error 400 as soon as something reads `request.POST`, in a middleware as a rule,
and all that was typed is gone. Here the fields that come before the first file are kept, up to KEPT_MAX.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

KEPT_MAX = 16 * 1024 * 1024  # octets
FIELDS_MAX = 1000
_NAME = re.compile(rb'; *name="([^"]*)"')
_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)


class TooMuch(QueryDict):
    """The fields of a form that sent too much.

    `problem` is the error text. `of_files` says whether there are too many files; otherwise the text is too long.
    """

    problem = ""
    of_files = False


class _Beginning:
    """The stream of a request, of which what was read before the first file is kept."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._kept = bytearray()
        self.keeps = True

    def read(self, size: int | None = None) -> bytes:
        octets: bytes = self._stream.read(size)
        if self.keeps:
            self._kept += octets[: KEPT_MAX - len(self._kept)]
        return octets

    def all(self) -> bytes:
        """Return what was kept, and what follows and was not read yet."""
        if self.keeps:
            self.read(KEPT_MAX - len(self._kept))
        return bytes(self._kept)


class _FirstFile(FileUploadHandler):
    """Notice that fields are over."""

    beginning: _Beginning | None = None

    def new_file(self, *args: Any, **options: Any) -> None:
        if self.beginning is not None:
            self.beginning.keeps = False

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


def read_form(request: HttpRequest) -> None:
    """Read the form in a request. If it sends too much, `request.POST` becomes a `TooMuch`, and there are no files."""
    if request.method != "POST" or hasattr(request, "_post"):  # a middleware has read it
        return
    handler = _FirstFile(request)
    request.upload_handlers.insert(0, handler)
    parse: Any = request.parse_file_upload

    def parse_and_keep(meta: Any, stream: Any) -> Any:
        handler.beginning = _Beginning(stream)
        return parse(meta, handler.beginning)

    request.parse_file_upload = parse_and_keep  # type: ignore[method-assign, assignment]
    try:
        request.POST  # noqa: B018 - reads it
    except (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent) as error:
        fields = TooMuch(mutable=True, encoding=request.encoding)
        fields.of_files = isinstance(error, TooManyFilesSent)
        fields.problem = _problem(error)
        for name, value in _kept(request, handler.beginning)[:FIELDS_MAX]:
            fields.appendlist(name, value)
        request._mark_post_parse_error()  # type: ignore[attr-defined]  # as Django does, so that no one parses again
        request.POST = fields  # type: ignore[assignment]


def _problem(error: Exception) -> str:
    if isinstance(error, TooManyFilesSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        return ngettext(
            "At most %(count)d file can be sent at once.", "At most %(count)d files can be sent at once.", most
        ) % {"count": most}
    if isinstance(error, TooManyFieldsSent):
        return _("The form has too many fields.")
    return _("The form contains too much data.")


def _kept(request: HttpRequest, beginning: _Beginning | None) -> list[tuple[str, str]]:
    """Return the names and values of fields."""
    if beginning is None:
        octets: bytes = request.body if hasattr(request, "_body") else request.read(KEPT_MAX)
        return parse_qsl(octets.decode(errors="replace"), keep_blank_values=True)
    boundary = _BOUNDARY.search(request.META.get("CONTENT_TYPE", ""))
    found = []
    for part in beginning.all().split(b"--" + boundary[1].encode() if boundary else b"--"):
        head, _blank, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name and b"filename" not in head:
            found.append((name[1].decode(errors="replace"), value.removesuffix(b"\r\n").decode(errors="replace")))
    return found
