"""Where a site's URLRouter has TMTP over WebSocket.

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "tcp": TmtpConsumer.as_asgi(),
    "websocket": URLRouter([*tmtp.routing.websocket_urlpatterns, ...]),
})
"""

from __future__ import annotations

from typing import Any

from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path

from .consumers import TmtpConsumer

LOCAL = ["localhost", "127.0.0.1", "[::1]"]


class PagesOfThisSite(OriginValidator):  # type: ignore[misc]
    """A browser must come from a page of this site (ALLOWED_HOSTS). A program that is no browser names no origin.

    Browsers always name one. A foreign page could take nothing, since a link has no more rights than what it logs in
    with; but it could register users at its visitors' expense.
    """

    def __init__(self, application: Any) -> None:
        super().__init__(application, None)

    def valid_origin(self, parsed_origin: Any) -> bool:
        """Whether the origin, None without one, may connect."""
        self.allowed_origins = settings.ALLOWED_HOSTS or (LOCAL if settings.DEBUG else [])
        return parsed_origin is None or self.validate_origin(parsed_origin)


websocket_urlpatterns = [
    path("tmtp", PagesOfThisSite(TmtpConsumer.as_asgi())),
]
