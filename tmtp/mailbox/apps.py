"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailboxConfig(AppConfig):
    """A mailbox in the browser for each member."""

    name = "tmtp.mailbox"
    label = "tmtp_mailbox"
    verbose_name = _("Mailboxes")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from . import checks  # noqa: F401
