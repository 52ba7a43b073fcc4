"""What members ask for on the website is limited as on devices: TMTP["LIMITS"]["requests_per_user"]."""

from __future__ import annotations

from functools import cache

from django.utils.translation import gettext as _

from tmtp.engine.limits import Limits
from tmtp.models import User
from tmtp.services.errors import Refused


@cache
def limits() -> Limits:
    """What members have asked for through this process."""
    return Limits()


def spend(user: User) -> None:
    """One more request of the user's. Raises Refused when there were too many."""
    if not limits().spend("requests_per_user", user.uid):
        raise Refused(_("That is a lot in a short time. Try again later."))
