"""htmx, which refreshes parts of pages if the site has the app `django_htmx`."""

from __future__ import annotations

from django.apps import apps
from django.utils.safestring import SafeString


def htmx_script() -> SafeString:
    """Return the script tags of htmx, or nothing if `django_htmx` is not installed."""
    if not apps.is_installed("django_htmx"):
        return SafeString()
    from django_htmx.jinja import htmx_script as script

    return SafeString(script())
