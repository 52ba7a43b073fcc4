"""The codes that this app adds to those of `tmtp`. Its modules import `Refused` from here, so that they are known."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from tmtp.services.errors import Refused, Text, add_texts

TEXTS = {
    "address_link_just_mailed": Text(
        _("A link was sent to this address a moment ago. Check your inbox and your spam folder.")
    ),
    "address_mail_failed": Text(_("The e-mail with the link could not be sent. Please try again later.")),
    "address_link_invalid": Text(_("This link is incomplete or has expired. Request a new one on your account page.")),
    "address_removed": Text(_("This address has been removed from the account since the link was sent.")),
    "address_taken": Text(
        _("Another account has already confirmed this address. Sign in with that account, or remove it there.")
    ),
    "openid_known_from_device": Text(
        _("A device has already used that account as another user. Ask the site’s administrators.")
    ),
    "openid_linked_elsewhere": Text(_("That account is linked to another member. Unlink it there first.")),
    "openid_only_way": Text(_("This is your only way to sign in. Set a password first.")),
    "openid_signed_out": Text(_("You have signed out in the meantime. Sign in and link the account again.")),
    "openid_signed_in": Text(_("You are already signed in. Link that account here to sign in with it.")),
    "openid_inactive": Text(_("This account is disabled. Ask the site’s administrators.")),
    "app_code_wrong": Text(_("Wrong code. Check that the clock of your phone is right.")),
    "app_there_already": Text(_("You already have an authenticator app. Remove it first.")),
    "code_wrong": Text(_("The code is wrong or was used before. Wait for the next one.")),
    "codes_too_many": Text(_("Too many wrong codes. Wait an hour, or use a passkey.")),
    "passkey_too_late": Text(_("The request has expired. Please try again.")),
    "passkey_wrong": Text(_("This passkey is not valid here.")),
    "passkey_there_already": Text(_("This passkey has already been added.")),
    "passkeys_too_many": Text(_("You have %(most)s passkeys, which is the limit. Remove one first.")),
    "second_factor_needed": Text(_("This site requires a second factor. Add another one before you remove this one.")),
}
add_texts(TEXTS)

__all__ = ["TEXTS", "Refused"]
