"""What second factors a member has, who must have one, and what happens when one is added or removed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from tmtp.services.people import audit

from ..errors import Refused
from ..models import AuthenticatorApp, Passkey
from . import notices, recovery_codes

STAFF, EVERYONE, NOBODY = "staff", "everyone", "nobody"  # the values of ACCOUNTS_SECOND_FACTOR


def has_one(user: Any) -> bool:
    """Return whether the member has an authenticator app or a passkey."""
    return AuthenticatorApp.objects.filter(user=user).exists() or Passkey.objects.filter(user=user).exists()


def must_have_one(user: Any) -> bool:
    """Return whether the member may use nothing else of the site until they have one (ACCOUNTS_SECOND_FACTOR)."""
    who = getattr(settings, "ACCOUNTS_SECOND_FACTOR", NOBODY)
    return who == EVERYONE or (who == STAFF and (user.is_staff or user.is_superuser))


def added(user: Any, name: str) -> list[str]:
    """Tell the member about a new factor. Return new recovery codes if it is the first one, else an empty list."""
    notices.tell(
        user,
        _("Your second factor: %(name)s was added") % {"name": name},
        _("You can now use it to sign in to the website."),
    )
    return [] if user.recovery_codes.exists() else recovery_codes.make(user)


@transaction.atomic
def remove(factor: AuthenticatorApp | Passkey, name: str) -> None:
    """Remove a factor, and with the last one the recovery codes, and tell the member.

    Raise Refused if it is the last one of a member who must have one.
    """
    user = type(factor.user).objects.select_for_update().get(pk=factor.user_id)  # two requests, and the last two
    type(factor).objects.filter(pk=factor.pk).delete()
    if not has_one(user):
        if must_have_one(user):
            raise Refused("second_factor_needed")
        user.recovery_codes.all().delete()
    notices.tell(
        user,
        _("Your second factor: %(name)s was removed") % {"name": name},
        _("You can no longer use it to sign in to the website."),
    )


@transaction.atomic
def remove_all(user: Any) -> bool:
    """Remove all factors of a member who has lost them, and tell them. Return whether there were any."""
    removed, _rows = AuthenticatorApp.objects.filter(user=user).delete()
    removed += Passkey.objects.filter(user=user).delete()[0]
    user.recovery_codes.all().delete()
    user.wrong_codes.all().delete()
    if removed:
        audit.record(audit.Action.FACTOR_RESET, user)
        notices.tell(
            user,
            _("Your second factor was removed"),
            _("An administrator has removed it. You sign in without a second factor until you add one."),
        )
    return bool(removed)
