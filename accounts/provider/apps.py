"""The configuration of the app."""

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ProviderConfig(AppConfig):
    name = "accounts.provider"
    label = "accounts_provider"
    verbose_name = _("sign-in for devices")

    def ready(self) -> None:
        if not apps.is_installed("oauth2_provider"):
            raise ImproperlyConfigured('INSTALLED_APPS: put "oauth2_provider" before "accounts.provider".')
        from . import checks, identities  # noqa: F401
        from .client import make_client

        post_migrate.connect(make_client, sender=apps.get_app_config("oauth2_provider"))
