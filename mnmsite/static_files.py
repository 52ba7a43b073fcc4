"""Static files below the path that the site is served under, and the middleware that serves them."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles import storage
from django.http import HttpRequest, HttpResponseBase
from django.urls import get_script_prefix
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware

from mnmsite import settings


class StaticFilesStorage(storage.StaticFilesStorage):
    """Put the path that the site is served under before STATIC_URL, at each use.

    Django does so once, when a process first uses STATIC_URL: usually before the first request, which brings the path.
    """

    @property
    def base_url(self) -> str:  # type: ignore[override]
        """Return the beginning of the URLs."""
        return get_script_prefix() + settings.STATIC_URL


class StaticFilesMiddleware(MiddlewareMixin):
    """Let WhiteNoise serve static files, to an asynchronous server too.

    WhiteNoise's own middleware is only synchronous. In such a one, the thread of a request waits for the event loop.
    When daphne stops, it stops the loop while there are requests, and Python would wait for their threads for ever.
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self.whitenoise = WhiteNoiseMiddleware(lambda request: None)

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        """Return the static file, if one is asked for."""
        response: HttpResponseBase | None = self.whitenoise(request)
        return response
