"""The route of live news, for a site's URLRouter: open pages of a mailbox are told of new messages.

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "tcp": TmtpConsumer.as_asgi(),
    "websocket": URLRouter([*tmtp.mailbox.routing.websocket_urlpatterns, ...]),
})

The route checks the origin and reads the session itself, so it needs no middleware around it.
"""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator

from ..routing import routes
from . import NEWS
from .consumers import MailboxConsumer

# only for pages of this site; the consumer accepts members who have signed in
websocket_urlpatterns = routes(NEWS, AllowedHostsOriginValidator(AuthMiddlewareStack(MailboxConsumer.as_asgi())))
