"""Quotes of a message in its answer, as mail programs write them."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _

from ...models import Node
from ...services.messages.mailbox import Received
from ..access import message_of
from ..conversation import SHOWN_MAX


def quote_of(request: HttpRequest, node: Node) -> str:
    """Return the quote of the message that the URL names with `?quote=`, or an empty string."""
    if "quote" not in request.GET:
        return ""
    try:
        return quoted(message_of(node, request.GET["quote"]))
    except (Http404, OSError):  # it has just been removed, or cannot be read
        return ""


def quoted(received: Received) -> str:
    """Return a text with `>` before each of its lines, below a line that says who wrote it."""
    lines = received.text[:SHOWN_MAX].strip().splitlines()
    wrote = _("%(name)s wrote:") % {"name": received.alias}
    return "\n".join([wrote, "", *(f"> {line}".rstrip() for line in lines), "", ""])
