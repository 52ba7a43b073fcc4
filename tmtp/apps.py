"""The configuration of the app."""

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class TmtpConfig(AppConfig):
    name = "tmtp"
    label = "tmtp"
    verbose_name = _("Messaging")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, stay in the database "default", keep owners of groups, follow the accounts."""
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_delete, post_save, pre_delete

        from . import checks, logs  # noqa: F401
        from .routers import pin_to_default
        from .services.groups.deletion import account_deleted
        from .services.groups.roles import owner_deleted
        from .services.people import audit
        from .services.people.accounts import account_saved

        pin_to_default()
        logs.protect(*logs.LOGGERS)
        logs.shorten_outages()
        post_delete.connect(owner_deleted, self.get_model("Member"))
        post_save.connect(account_saved, get_user_model(), dispatch_uid="tmtp.account_saved")
        pre_delete.connect(account_deleted, get_user_model(), dispatch_uid="tmtp.account_deleted")
        if apps.is_installed("django.contrib.admin"):
            post_save.connect(audit.logged, "admin.LogEntry", dispatch_uid="tmtp.audit")
