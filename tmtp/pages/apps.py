"""The Django app."""

from django.contrib.auth.signals import user_logged_in
from django.utils.translation import gettext_lazy as _

from .. import optional_app


class PagesConfig(optional_app.OptionalApp):
    """Pages about a member's devices, names, groups and privacy."""

    name = "tmtp.pages"
    label = "tmtp_pages"
    verbose_name = _("Members’ pages")
    needed_packages = {"segno": "segno"}
    extra = "pages"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks. Note when members sign in (`web.confirmation`)."""
        from ..web import confirmation
        from . import checks  # noqa: F401
        from .views import data

        user_logged_in.connect(confirmation.signed_in, dispatch_uid="tmtp.web.confirmation")
        user_logged_in.connect(data.offer_to_keep, dispatch_uid="tmtp.pages.deletion")
