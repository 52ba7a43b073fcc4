"""The route of live news, for a site's URLRouter: open pages of a mailbox learn that something has come.

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "tcp": TmtpConsumer.as_asgi(),
    "websocket": URLRouter([*tmtp.mailbox.routing.websocket_urlpatterns, ...]),
})

The route checks the origin and reads the session itself: it needs no middleware around it.
"""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from .consumers import MailboxConsumer

websocket_urlpatterns = [
    # for pages of this site, of people who have signed in
    path("live/mailbox", AllowedHostsOriginValidator(AuthMiddlewareStack(MailboxConsumer.as_asgi()))),
]
