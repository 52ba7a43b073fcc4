"""The Django app."""

from __future__ import annotations

from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from tmtp import optional_app


class NoticesConfig(optional_app.OptionalApp):
    """Notices about new messages: on open pages, by Web Push, and as a digest by e-mail."""

    name = "tmtp.notices"
    label = "tmtp_notices"
    verbose_name = _("Notifications")
    needed_apps = ("tmtp", "tmtp.mailbox", "tmtp.delivery")
    needed_packages = {"pywebpush": "pywebpush", "py_vapid": "py-vapid"}
    extra = "notices"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and connect the signals."""
        from tmtp.members_data import sections
        from tmtp.signals import messages_arrived

        from . import checks, exporting  # noqa: F401
        from .arrivals import request_pushes
        from .conf import conf
        from .schedules import make_schedules
        from .segments import add_language
        from .subscriptions import end_at_sign_out

        add_language()
        sections.add(exporting.parts)
        post_migrate.connect(make_schedules, sender=self, dispatch_uid="tmtp.notices.schedules")
        user_logged_out.connect(end_at_sign_out, dispatch_uid="tmtp.notices.sign_out")
        if conf.VAPID_KEY:  # while this signal has no receiver, the service does not look for messages
            messages_arrived.connect(request_pushes, dispatch_uid="tmtp.notices.pushes")
