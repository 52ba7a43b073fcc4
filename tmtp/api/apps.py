"""The Django app."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from tmtp import optional_app


class ApiConfig(optional_app.OptionalApp):
    """The HTTP API."""

    name = "tmtp.api"
    label = "tmtp_api"
    verbose_name = _("HTTP API")
    needed_packages = {"ninja": "django-ninja"}
    extra = "api"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and the codes of errors."""
        from . import checks, errors  # noqa: F401
