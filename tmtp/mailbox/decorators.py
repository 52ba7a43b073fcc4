"""The decorator of every page of the mailbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _

from ..services.storage.unreadable import Unreadable
from ..web.decorators import View, member_page
from .access import mailbox_for


def mailbox_page(*methods: str) -> Callable[[View], View]:
    """Decorate a view as `member_page` does, and pass it the member's mailbox node as its second argument."""

    def decorate(view: View) -> View:
        @wraps(view)
        def with_mailbox(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return view(request, mailbox_for(request.user), *args, **kwargs)
            except Unreadable:
                text = _("Part of this page cannot be read at the moment. Try again in a minute.")
                return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8")

        guarded = member_page(*methods)(with_mailbox)

        @wraps(guarded)
        def page_or_part(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if asks_for_part(request) and not request.user.is_authenticated:
                # Reload the whole page: the page for signing in must not appear in place of a part of this one.
                return HttpResponse(headers={"HX-Refresh": "true"})
            return guarded(request, *args, **kwargs)

        return page_or_part

    return decorate


def asks_for_part(request: HttpRequest) -> bool:
    """Return whether the request is from htmx, for a part of a page."""
    return request.headers.get("HX-Request") == "true"
