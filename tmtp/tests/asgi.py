"""The ASGI application of the smallest site: TMTP over TCP."""

from __future__ import annotations

import os
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tmtp.tests.settings")
http = get_asgi_application()  # first, since it loads the apps, and the consumer imports models

from tmtp.consumers import TmtpConsumer  # noqa: E402

application = ProtocolTypeRouter({"http": http, "tcp": TmtpConsumer.as_asgi()})
urlpatterns: list[Any] = []
