"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from tmtp.optional_app import require_tmtp


class ApiConfig(AppConfig):
    """The HTTP API. Only its URLs need django-ninja."""

    name = "tmtp.api"
    label = "tmtp_api"
    verbose_name = _("HTTP API")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        require_tmtp(self)
        super().import_models()

    def ready(self) -> None:
        """Register the system checks and the codes of errors."""
        from . import checks, errors  # noqa: F401
