"""The decorator of pages that change how a member signs in: a stolen session is not enough for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from tmtp.web.decorators import member_page

from . import signing_in


def confirmed_page(*methods: str) -> Callable[[Any], Any]:
    """Allow these methods for members who have shown a moment ago who they are.

    Others are asked to, and come back to the page, or to the account page if it only takes what a form sends.
    """

    def decorate(view: Any) -> Any:
        @wraps(view)
        def ask_first(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if signing_in.is_confirmed(request):
                return view(request, *args, **kwargs)
            return ask(request.path if "GET" in methods else reverse("accounts:account"))

        return member_page(*methods)(ask_first)

    return decorate


def question(request: HttpRequest) -> HttpResponseRedirect | None:
    """Return None if the member has shown a moment ago who they are, or else where they are asked: CONFIRMATION."""
    return None if signing_in.is_confirmed(request) else ask(request.path)


def ask(next: str) -> HttpResponseRedirect:
    """Redirect to the page on which members show who they are, and from there to `next`."""
    return HttpResponseRedirect(f"{reverse('accounts:reauthenticate')}?{urlencode({'next': next})}")
