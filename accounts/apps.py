"""The configuration of the app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    label = "accounts"
    verbose_name = _("members on the website")

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.signals import user_logged_in, user_logged_out
        from django.db.models.signals import post_save, pre_delete

        from tmtp import logs
        from tmtp.members_data import sections

        from . import exporting, languages, usernames
        from .second_factor import signing_in
        from .sessions import browsers

        sections.add(exporting.parts)
        own = ("email_addresses", "openid.views", "second_factor.notices", "second_factor.passkeys")
        logs.protect(*(f"accounts.{name}" for name in own))
        user_logged_in.connect(signing_in.signed_in, dispatch_uid="accounts.second_factor")
        user_logged_in.connect(browsers.signed_in, dispatch_uid="accounts.sessions")
        user_logged_in.connect(languages.signed_in, dispatch_uid="accounts.languages")
        user_logged_out.connect(browsers.signed_out, dispatch_uid="accounts.sessions")
        pre_delete.connect(browsers.account_deleted, sender=get_user_model(), dispatch_uid="accounts.sessions")
        post_save.connect(usernames.remember, sender=get_user_model(), dispatch_uid="accounts.usernames")
