"""How the website answers a request over HTTP."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase


class Handler(ASGIHandler):
    """Run all middleware and the view of a request in one thread, as a WSGI server does.

    Django's own handler calls each middleware from the event loop, and each one hands its work to a thread: for a
    small page, that takes longer than the work. A middleware that is only synchronous makes the thread wait for the
    event loop: when daphne stops while there are requests, Python would wait for such a thread for ever.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Load the middleware as a WSGI server does."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Run the middleware and the view in a thread, and return what they answer."""
        return await sync_to_async(self.get_response)(request)
