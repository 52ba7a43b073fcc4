"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PagesConfig(AppConfig):
    """Pages about a member's devices, names, groups and privacy."""

    name = "tmtp.pages"
    label = "tmtp_pages"
    verbose_name = _("Members’ pages")

    def ready(self) -> None:
        """Register the system checks."""
        from . import checks  # noqa: F401
