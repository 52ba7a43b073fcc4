"""System checks of the mailbox. Each id is in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter, get_default_application
from django.apps import apps
from django.conf import settings
from django.core import checks

from ..checks.site import LAYERS, WRAPPED
from ..web import checks as web


@checks.register("tmtp_mailbox")
def check_mailbox(**_: Any) -> list[checks.CheckMessage]:
    """Check for W001 to W003."""
    found = web.check_urls("tmtp_mailbox", "mailbox", 'path("mailbox/", include("tmtp.mailbox.urls"))')
    if has_news() is False:
        message = f"{settings.ASGI_APPLICATION} has no route to live news, so members reload to see what is new."
        hint = "Add tmtp.mailbox.routing.websocket_urlpatterns to the URLRouter of “websocket”."
        found.append(checks.Warning(message, hint=hint, id="tmtp_mailbox.W002"))
    if not apps.is_installed("django_htmx"):
        message = "django_htmx is not in INSTALLED_APPS, so members reload to see what is new."
        hint = 'pip install "mnm-django[mailbox]", and add “django_htmx” to INSTALLED_APPS.'
        found.append(checks.Warning(message, hint=hint, id="tmtp_mailbox.W003"))
    return found


def has_news() -> bool | None:
    """Return whether the site's ASGI application has the route of live news, or None if it cannot be determined."""
    if not getattr(settings, "ASGI_APPLICATION", None):
        return None  # tmtp.W009
    try:
        application = get_default_application()
    except Exception:  # tmtp.W010 says so
        return None
    router = _unwrap(application, ProtocolTypeRouter)
    if router is None:
        return None
    return _leads_to_news(router.application_mapping.get("websocket"))


def _leads_to_news(application: Any) -> bool:
    """Return whether an ASGI application is MailboxConsumer, or a URLRouter with a route to it."""
    from .consumers import MailboxConsumer

    inner = _unwrap(application, URLRouter)
    if inner is not None:
        return any(_leads_to_news(route.callback) for route in inner.routes)
    return any(getattr(one, "consumer_class", None) is MailboxConsumer for one in _layers(application))


def _unwrap(application: Any, kind: type) -> Any:
    """Return the first application of this kind among an application and those that it wraps, or None."""
    return next((one for one in _layers(application) if isinstance(one, kind)), None)


def _layers(application: Any) -> list[Any]:
    """Return an application and those that it wraps as middleware, outermost first."""
    found = [application]
    while len(found) < LAYERS:
        inner = [one for name in WRAPPED if callable(one := getattr(found[-1], name, None))]
        if not inner:
            break
        found.append(inner[0])
    return found
