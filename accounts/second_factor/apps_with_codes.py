"""Authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and 30 seconds, which all apps can do."""

from __future__ import annotations

from typing import Any

import pyotp
from django.utils import timezone
from pyotp.exceptions import OTPVerificationError

from tmtp.conf import conf
from tmtp.services.storage.encryption import seal, unseal

from ..errors import Refused
from ..models import AuthenticatorApp

DIGITS = 6
WINDOW = 1  # a code counts one step earlier and later, too: clocks differ, and people take time to type


def new_secret() -> str:
    """Return a new secret, 160 random bits in base32."""
    return pyotp.random_base32()


def address(user: Any, secret: str) -> str:
    """Return the otpauth:// address of a secret, which apps read from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.get_username(), issuer_name=conf.SITE_NAME)


def step_of(secret: str, text: str) -> int | None:
    """Return the step of time that a code belongs to, or None if it is wrong."""
    code = "".join(text.split())
    if len(code) != DIGITS or not (code.isascii() and code.isdecimal()):
        return None
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, valid_window=WINDOW)
    except OTPVerificationError:
        return None


def add(user: Any, secret: str, text: str) -> None:
    """Make this the member's app. Raise Refused if the code is not the secret's, or if the member has an app."""
    step = step_of(secret, text)
    if step is None:
        raise Refused("app_code_wrong")
    defaults = {"secret": seal(secret), "last_step": step}
    if not AuthenticatorApp.objects.get_or_create(user=user, defaults=defaults)[1]:
        raise Refused("app_there_already")


def accept(user: Any, text: str) -> bool:
    """Return whether this is a code of the member's app now. Do not accept it, or an earlier one, again."""
    app = AuthenticatorApp.objects.filter(user=user).first()
    secret = unseal(app.secret) if app else None
    step = step_of(secret, text) if secret else None
    if app is None or step is None:
        return False
    unused = AuthenticatorApp.objects.filter(pk=app.pk, last_step__lt=step)
    return unused.update(last_step=step, used=timezone.now()) == 1
