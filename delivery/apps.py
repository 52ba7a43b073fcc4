"""The Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    """Policies around getting a message to a person."""

    name = "delivery"
    label = "delivery"
    verbose_name = _("Delivery")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and have the schedules made by `migrate`."""
        from . import checks  # noqa: F401
        from .schedules import make_schedules

        post_migrate.connect(make_schedules, sender=self, dispatch_uid="delivery.schedules")
