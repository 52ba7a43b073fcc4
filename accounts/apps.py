"""The configuration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    label = "accounts"
    verbose_name = _("members on the website")

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import post_save

        from tmtp import logs

        from . import usernames

        logs.protect("accounts.email_addresses", "accounts.openid.views")
        post_save.connect(usernames.remember, sender=get_user_model(), dispatch_uid="accounts.usernames")
