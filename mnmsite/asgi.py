"""The ASGI application: pages over HTTP, TMTP over TCP and WebSocket."""

import gc
import os
from typing import Any

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

gc.disable()  # nothing that is imported is garbage, and looking for it takes a good part of a start
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.settings")
django.setup(set_prefix=False)  # first: the consumers import models

from mnmsite.handler import Handler  # noqa: E402
from tmtp import routing as tmtp  # noqa: E402
from tmtp.consumers import TmtpConsumer  # noqa: E402
from tmtp.mailbox import routing as mailbox  # noqa: E402


async def nowhere(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse a WebSocket without a route. URLRouter alone would raise, and log a traceback."""
    await receive()
    await send({"type": "websocket.close"})


websocket = URLRouter(
    [
        *tmtp.websocket_urlpatterns,  # without sessions and cookies: a device logs in with its own secret
        *mailbox.websocket_urlpatterns,
        re_path("", nowhere),
    ]
)

application = ProtocolTypeRouter({"http": Handler(), "tcp": TmtpConsumer.as_asgi(), "websocket": websocket})

gc.freeze()  # what is there now stays, and is never looked through again
gc.enable()
