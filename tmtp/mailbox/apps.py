"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from ..optional_app import require_tmtp


class MailboxConfig(AppConfig):
    """A mailbox in the browser for each member."""

    name = "tmtp.mailbox"
    label = "tmtp_mailbox"
    verbose_name = _("Mailboxes")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        require_tmtp(self)
        super().import_models()

    def ready(self) -> None:
        """Register the system checks, and what removes old drafts, their files, and deleted messages."""
        from ..members_data import sections
        from ..services.storage import spool
        from ..signals import housekeeping
        from . import (
            checks,  # noqa: F401
            delivery,
            drafts,
            exporting,
            trash,
        )

        spool.models.append("tmtp_mailbox.DraftFile")
        sections.add(exporting.parts)
        housekeeping.connect(drafts.expire)
        housekeeping.connect(trash.purge)
        housekeeping.connect(delivery.forget_recalls)
