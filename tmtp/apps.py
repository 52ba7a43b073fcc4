"""The configuration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TmtpConfig(AppConfig):
    name = "tmtp"
    label = "tmtp"
    verbose_name = _("Messaging")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and stay in the database "default"."""
        from . import checks  # noqa: F401
        from .routers import pin_to_default

        pin_to_default()
