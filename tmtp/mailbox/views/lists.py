"""Render a list of threads: a whole page, or for htmx the part of it that has changed, or the rows that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from ...models import Node
from ...protocol.values import whole_number
from ...web.rendering import render_page
from .. import index, listing
from ..access import has_shortcuts
from ..decorators import asks_for_part
from ..models import Thread
from ..preview import previews
from ..unread import UNREAD_MAX, unread


@dataclass(frozen=True, slots=True)
class Place:
    """What a reader sees of the lists: which one, below which number, and down to which one they have loaded it."""

    show: str = ""
    before: int | None = None
    to: int | None = None

    @property
    def url(self) -> str:
        """The address of the page."""
        query = {"show": self.show, "before": self.before, "to": self.to}
        given = urlencode({name: value for name, value in query.items() if value})
        return reverse("tmtp_mailbox:mailbox") + (f"?{given}" if given else "")


class Row(NamedTuple):
    """A thread in a list, the number of the message that its row shows, and the line of text."""

    thread: Thread
    number: int
    text: str


def place_in(fields: QueryDict) -> Place:
    """Return the place that a query string or a form names. The inbox stands for a list that there is not."""
    show = fields.get("show", "")
    known = show if show in listing.LISTS else ""
    return Place(known, number_in(fields, "before"), number_in(fields, "to"))


def number_in(fields: QueryDict, name: str) -> int | None:
    """Return a number of a message, or None."""
    return whole_number(fields.get(name, ""))


def show_list(request: HttpRequest, node: Node, place: Place, done: str = "") -> HttpResponse:
    """Render a list, for htmx without the page around it. `done` is the HTML that says what has just been done."""
    complete = index.catch_up(node)
    is_part = asks_for_part(request)
    context = {
        **_rows(node, place),
        "complete": complete,
        "unread": unread(request.user),
        "unread_max": UNREAD_MAX,
        "me": node.user,
        "is_part": is_part,
        "done": done,
        "shortcuts": is_part or has_shortcuts(node),
    }
    return render_page(request, f"tmtp_mailbox/{'_threads' if is_part else 'threads'}.html", context)


def more_rows(request: HttpRequest, node: Node, place: Place) -> HttpResponse:
    """Render the rows that follow, for htmx. The address of the page becomes that of all that has been loaded."""
    loaded = number_in(request.GET, "loaded") or 0
    context = {**_rows(node, place, loaded), "before": None}  # the page begins with the newest threads
    answer = render_page(request, "tmtp_mailbox/_rows.html", context)
    answer["HX-Replace-Url"] = Place(place.show, None, context["last"]).url
    return answer


def _rows(node: Node, place: Place, loaded: int = 0) -> dict[str, Any]:
    """Return what the template of rows needs. `loaded` is the number of rows that the page has already."""
    part = listing.part(node, place.show, place.before, place.to)
    texts = previews(node, part.numbers)
    rows = [Row(*both, texts.get(both[1], "")) for both in zip(part.threads, part.numbers, strict=True)]
    return {
        "rows": rows,
        "shown": place.show,
        "before": place.before,
        "last": part.last,
        "next": part.last if part.more else None,
        "loaded": loaded + len(rows),
        "loads_more": loaded + len(rows) < listing.MOST,
    }
