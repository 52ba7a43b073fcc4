"""What each kind of connection is answered by: pages over HTTP, TMTP over TCP."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.settings")
http = get_asgi_application()  # first: it loads the apps, which the consumer imports models of

from tmtp.consumers import TmtpConsumer  # noqa: E402

application = ProtocolTypeRouter({"http": http, "tcp": TmtpConsumer.as_asgi()})
