"""The site around the app: does its ASGI application know TMTP, and does django-q2 run a task once."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, get_default_application
from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.asgi import ASGIHandler  # type: ignore[attr-defined]

from .rules import Messages

messages = Messages("tmtp")
ROUTE = (
    'application = ProtocolTypeRouter({"http": get_asgi_application(), "tcp": TmtpConsumer.as_asgi()}), '
    "with tmtp.consumers.TmtpConsumer"
)
WRAPPED = ("inner", "app", "application")  # what middleware calls the application it wraps
LAYERS = 10


@checks.register("tmtp")
def check_route(**_: Any) -> list[checks.CheckMessage]:
    """W009 to W011."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        message = "ASGI_APPLICATION is not set, so runtmtp does not know what to serve."
        hint = f'Set it, such as ASGI_APPLICATION = "mysite.asgi.application", and let that be: {ROUTE}.'
        return [messages.warning(9, message, hint)]
    try:
        application = get_default_application()
    except Exception as error:  # whatever the site's module does
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
    """Whether an ASGI application takes scopes of type "tcp"; None when its kind is not known."""
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
def check_tasks(**_: Any) -> list[checks.CheckMessage]:
    """W012."""
    if not apps.is_installed("django_q"):
        return []
    cluster = getattr(settings, "Q_CLUSTER", {})
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    if timeout and timeout < retry:
        return []
    message = f"django-q2 may run a task twice at a time: timeout is {timeout}, retry is {retry}."
    hint = "Set both in Q_CLUSTER, retry above timeout, such as {'timeout': 300, 'retry': 600}."
    return [messages.warning(12, message, hint)]
