"""The decorator of all pages for members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

View = Callable[..., HttpResponseBase]


def member_page(*methods: str) -> Callable[[View], View]:
    """Allow these methods for members who have signed in, and forbid caching of the page. GET includes HEAD.

    Visitors are redirected to `settings.LOGIN_URL`, and return to the page after signing in.
    """
    allowed = [*methods, "HEAD"] if "GET" in methods else list(methods)

    def decorate(view: Any) -> View:
        guarded: View = require_http_methods(allowed)(login_required(never_cache(view)))
        return guarded

    return decorate
