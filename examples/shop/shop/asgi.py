"""The ASGI application: pages over HTTP, TMTP over TCP."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
http = get_asgi_application()

from tmtp.consumers import TmtpConsumer  # noqa: E402 - after the apps are loaded

application = ProtocolTypeRouter({"http": http, "tcp": TmtpConsumer.as_asgi()})
