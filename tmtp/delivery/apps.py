"""The Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DeliveryConfig(AppConfig):
    """Policies around getting a message to a person."""

    name = "tmtp.delivery"
    label = "tmtp_delivery"
    verbose_name = _("Delivery")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks; `migrate` makes the schedules; what comes for the site's handler is told of."""
        from tmtp.signals import site_received

        from . import checks  # noqa: F401
        from .conf import conf
        from .handling import ask_for_answers
        from .schedules import make_schedules
        from .workers import watch_workers

        post_migrate.connect(make_schedules, sender=self, dispatch_uid="tmtp.delivery.schedules")
        watch_workers()
        if conf.HANDLER:  # a server that nobody listens to does not even look
            site_received.connect(ask_for_answers, dispatch_uid="tmtp.delivery.answers")
