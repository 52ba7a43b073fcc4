"""The limit on members' requests on the website, the same as for devices: TMTP["LIMITS"]["requests_per_user"]."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django import forms
from django.db import transaction

from ..engine.limits import Limits
from ..models import User
from ..services.errors import Refused


@cache
def limits() -> Limits:
    """Return the limits of this process, which count members' requests."""
    return Limits()


def spend(user: User) -> None:
    """Count a request of the user. Raise Refused if there are too many."""
    if not limits().spend("requests_per_user", user.uid):
        raise Refused("too_many_requests")


def spend_ping(user: User, to: str) -> None:
    """Count a ping or an invitation to an alias. Raise Refused if there are too many."""
    limits().spend_ping(user.uid, to)


def attempt(user: User, form: forms.Form, field: str | None, act: Callable[[], object], *, invited: str = "") -> bool:
    """Call a service for a user, and return whether it succeeded. If it is refused, add the error to the field.

    `invited` is the alias that the service invites, if any.
    """
    try:
        spend(user)
        if invited:
            spend_ping(user, invited)
        with transaction.atomic():
            act()
    except Refused as refused:
        form.add_error(field, refused.text_for_people())
        return False
    return True
