"""The configuration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TmtpConfig(AppConfig):
    name = "tmtp"
    label = "tmtp"
    verbose_name = _("Messaging")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, stay in the database "default", and keep an owner for each group."""
        from django.db.models.signals import post_delete

        from . import checks, logs  # noqa: F401
        from .routers import pin_to_default
        from .services.groups.roles import owner_deleted

        pin_to_default()
        logs.protect(*logs.LOGGERS)
        post_delete.connect(owner_deleted, self.get_model("Member"))
