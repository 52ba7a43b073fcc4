"""Check a code that a member has typed: of their authenticator app, or a recovery code. Wrong ones are limited.

The limit is per member, over all sessions and processes, and does not concern passkeys. Only who knows the member's
password gets as far as this.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from ..errors import Refused
from ..models import WrongCode
from . import apps_with_codes, notices, recovery_codes

AN_HOUR, A_DAY = 10, 30  # wrong codes


def check(user: Any, text: str) -> None:
    """Raise Refused if the code is wrong, or if there were too many wrong ones."""
    attempt = WrongCode.objects.create(user=user)  # first, so that many at the same time do not get more tries
    now = timezone.now()
    WrongCode.objects.filter(entered__lt=now - timedelta(days=1)).delete()
    of_a_day = WrongCode.objects.filter(user=user).count()
    of_an_hour = WrongCode.objects.filter(user=user, entered__gt=now - timedelta(hours=1)).count()
    if of_an_hour > AN_HOUR or of_a_day > A_DAY:
        attempt.delete()  # it was not looked at
        raise Refused("codes_too_many")
    if apps_with_codes.accept(user, text):
        attempt.delete()
        return
    if recovery_codes.spend(user, text):
        attempt.delete()
        notices.tell(
            user,
            _("A recovery code was used"),
            _("One of your recovery codes was used to sign in to the website. It is no longer valid."),
        )
        return
    if of_an_hour == AN_HOUR or of_a_day == A_DAY:
        notices.tell(
            user,
            _("Wrong codes at sign-in"),
            _("Someone tried to sign in to the website with your password or provider, but entered wrong codes."),
        )
    raise Refused("code_wrong")
