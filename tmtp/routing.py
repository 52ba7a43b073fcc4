"""URL patterns of TMTP over WebSocket, for the site's URLRouter.

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
from django.urls import URLPattern, path

from .consumers import TmtpConsumer

LOCAL = ["localhost", "127.0.0.1", "[::1]"]


class PagesOfThisSite(OriginValidator):  # type: ignore[misc]
    """Accept WebSockets from pages of this site (ALLOWED_HOSTS), and from programs that are not browsers.

    Browsers always send an Origin header, other programs usually do not. A page of another site could not read
    anything, since a link has only the rights that it logs in with, but it could register users from its visitors'
    addresses.
    """

    def __init__(self, application: Any) -> None:
        super().__init__(application, None)

    def valid_origin(self, parsed_origin: Any) -> bool:
        self.allowed_origins = settings.ALLOWED_HOSTS or (LOCAL if settings.DEBUG else [])
        return parsed_origin is None or self.validate_origin(parsed_origin)


def routes(route: str, application: Any) -> list[URLPattern]:
    """Return the URL patterns of a path on the site, and of the same path below FORCE_SCRIPT_NAME.

    URLRouter itself removes the path that a server passes as `root_path`, but does not know this setting.
    """
    below = (settings.FORCE_SCRIPT_NAME or "").strip("/")
    return [path(one, application) for one in ([route, f"{below}/{route}"] if below else [route])]


websocket_urlpatterns = routes("tmtp", PagesOfThisSite(TmtpConsumer.as_asgi()))
