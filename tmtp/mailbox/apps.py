"""The Django app."""

from django.utils.translation import gettext_lazy as _

from .. import optional_app


class MailboxConfig(optional_app.OptionalApp):
    """A mailbox in the browser for each member."""

    name = "tmtp.mailbox"
    label = "tmtp_mailbox"
    verbose_name = _("Mailboxes")
    needed_packages = {"PIL": "pillow"}
    extra = "mailbox"
    default_auto_field = "django.db.models.BigAutoField"

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
