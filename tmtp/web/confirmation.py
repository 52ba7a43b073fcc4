"""Pages for which a session is not enough, since it may be stolen: the member shows once more who they are.

TMTP["CONFIRMATION"] names a function that gets the request and returns None if the member has done so a moment ago, or
else the response that asks. The default one works with every way to sign in: the member signs in again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

from ..conf import conf
from .decorators import View, member_page
from .rendering import render_page

SIGNED_IN = "tmtp_signed_in"  # the key in the session: when the member signed in
RECENT = 600  # seconds


def confirmed_page(*methods: str) -> Callable[[Any], View]:
    """Allow these methods, GET among them, for members who have shown a moment ago who they are."""

    def decorate(view: Any) -> View:
        @wraps(view)
        def ask_first(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            question: HttpResponseBase | None = import_string(conf.CONFIRMATION)(request)
            return question or view(request, *args, **kwargs)

        return member_page(*methods)(ask_first)

    return decorate


def by_signing_in(request: HttpRequest) -> HttpResponseBase | None:
    """Return None if the member signed in less than RECENT seconds ago, or else a page with a button to sign in again.

    The button signs them out first: many sign-in pages send members who are signed in back at once.
    """
    if time.time() - request.session.get(SIGNED_IN, 0) < RECENT:
        return None
    if request.method == "POST" and "sign_in_again" in request.POST:
        logout(request)
        return redirect_to_login(request.path)
    return render_page(request, "tmtp/sign_in_again.html")


def signed_in(sender: Any, request: HttpRequest, **options: Any) -> None:
    """Receive Django's signal that a member has signed in."""
    if hasattr(request, "session"):
        request.session[SIGNED_IN] = time.time()
