"""The decorator of all pages for members."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from ..query_strings import drop_nul
from .form_data import read_form
from .time_zone import readers_zone

View = Callable[..., HttpResponseBase]


def member_page(*methods: str) -> Callable[[View], View]:
    """Allow these methods for members who have signed in, and forbid caching of the page. GET includes HEAD.

    Visitors are redirected to `settings.LOGIN_URL`, and return to the page after signing in.
    Times are in the reader's own zone.
    """
    allowed = [*methods, "HEAD"] if "GET" in methods else list(methods)

    def decorate(view: Any) -> View:
        guarded: View = require_http_methods(allowed)(login_required(with_form(never_cache(view))))
        return csrf_exempt(guarded)

    return decorate


def with_form(view: View) -> View:
    """Have `read_form` read the form before the check against cross-site requests does.

    The view is still protected against them: here, not by the middleware, from which it must be exempt.
    """
    protected: Any = csrf_protect(view)

    @wraps(view)
    def read_and_check(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if any("\0" in text for text in kwargs.values() if isinstance(text, str)):
            raise Http404
        drop_nul(request)
        read_form(request)
        with readers_zone(request):
            answer: HttpResponseBase = protected(request, *args, **kwargs)
        return answer

    return read_and_check
