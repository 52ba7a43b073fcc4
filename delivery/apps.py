"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    """Policies around getting a message to a person."""

    name = "delivery"
    label = "delivery"
    verbose_name = _("delivery")
    default_auto_field = "django.db.models.BigAutoField"
