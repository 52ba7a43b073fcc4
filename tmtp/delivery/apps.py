"""The Django app."""

import os

from django.apps import apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from tmtp import optional_app


class DeliveryConfig(optional_app.OptionalApp):
    """What workers do: answers to the site, broadcasts, retries, expiry, notices. Also the e-mail backend.

    Its modules import django-q2 when they use it, so that a check can say that it is missing (E005).
    """

    name = "tmtp.delivery"
    label = "tmtp_delivery"
    verbose_name = _("Delivery")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and connect the signals."""
        from tmtp.members_data import sections
        from tmtp.services.monitoring import survey
        from tmtp.services.queue import reports
        from tmtp.signals import deletion_requested, site_received

        from . import checks, deletions, exporting  # noqa: F401
        from .conf import conf
        from .inbound.handling import request_handling
        from .inbound.report_batches import follower
        from .schedules import make_schedules

        sections.add(exporting.parts)
        post_migrate.connect(make_schedules, sender=self, dispatch_uid="tmtp.delivery.schedules")
        reports.follow(follower)
        if conf.HANDLER or conf.REPORT_HANDLER:  # else the service need not look for messages to the site
            site_received.connect(request_handling, dispatch_uid="tmtp.delivery.inbound")
        if apps.is_installed("django_q"):  # else a check says so
            from django_q.signals import post_spawn

            from .tasks import worker_started
            from .workers import close_pools, figures

            survey.add_source(figures)
            deletion_requested.connect(deletions.requested, dispatch_uid="tmtp.delivery.deletions")
            post_spawn.connect(worker_started, dispatch_uid="tmtp.delivery.workers")
            os.register_at_fork(before=close_pools)  # qcluster forks its workers
