"""Checks of the site: its ASGI application must have a route "tcp", and its channel layer must be one."""

from __future__ import annotations

from typing import Any

from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, get_default_application
from django.conf import settings
from django.core import checks
from django.core.asgi import ASGIHandler  # type: ignore[attr-defined]

from .rules import Messages

messages = Messages("tmtp")
ROUTE = (
    'application = ProtocolTypeRouter({"http": get_asgi_application(), "tcp": TmtpConsumer.as_asgi()}), '
    "with tmtp.consumers.TmtpConsumer"
)
WRAPPED = ("inner", "app", "application")  # attributes with the application that a middleware wraps
LAYERS = 10


@checks.register("tmtp")
def check_route(**_: Any) -> list[checks.CheckMessage]:
    """Check that ASGI_APPLICATION is set, can be imported and has a route "tcp": W009 to W011."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        message = "ASGI_APPLICATION is not set, so runtmtp does not know what to serve."
        hint = f'Set it, such as ASGI_APPLICATION = "mysite.asgi.application", and let that be: {ROUTE}.'
        return [messages.warning(9, message, hint)]
    try:
        application = get_default_application()
    except Exception as error:  # the site's module may raise anything
        return [
            messages.warning(10, f"{name} cannot be imported: {error}", "Correct ASGI_APPLICATION, or what it names.")
        ]
    if has_route(application) is False:
        return [
            messages.warning(
                11, f"{name} has no route “tcp”, so devices that connect get no answer.", f"Let it be: {ROUTE}."
            )
        ]
    return []


def has_route(application: Any) -> bool | None:
    """Return whether an ASGI application has a route "tcp", or None if that cannot be known."""
    for _layer in range(LAYERS):
        if isinstance(application, ProtocolTypeRouter):
            return "tcp" in application.application_mapping
        if isinstance(application, ASGIHandler):
            return False
        inner = [getattr(application, name) for name in WRAPPED if callable(getattr(application, name, None))]
        if not inner:
            return None
        application = inner[0]
    return None


@checks.register("tmtp")
def check_layer(**_: Any) -> list[checks.CheckMessage]:
    """Check that CHANNEL_LAYERS, if set, names a channel layer: E015."""
    given = getattr(settings, "CHANNEL_LAYERS", None)
    if not given:
        return []
    hint = (
        'CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {...}}}'
    )
    if not isinstance(given, dict) or "default" not in given:
        return [messages.error(15, "CHANNEL_LAYERS has no entry “default”.", hint)]
    try:
        layer = get_channel_layer()
        _parse_hosts(given["default"])
    except Exception as error:  # whatever the layer's module does
        return [messages.error(15, f"CHANNEL_LAYERS cannot be used: {error}", hint)]
    if not callable(getattr(layer, "group_send", None)):
        return [messages.error(15, "The BACKEND in CHANNEL_LAYERS is not a channel layer with groups.", hint)]
    return []


def _parse_hosts(layer: dict[str, Any]) -> None:
    """Raise ValueError or another error if the hosts of channels-redis are not valid: its layers only note them."""
    if layer["BACKEND"].startswith("channels_redis."):
        from channels_redis.utils import create_pool, decode_hosts

        for host in decode_hosts(layer.get("CONFIG", {}).get("hosts")):
            create_pool(host)  # connects with the first request only
