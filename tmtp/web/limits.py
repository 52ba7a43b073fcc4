"""The limits on members' requests on the website, which count together with those of their devices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache

from django import forms
from django.db import Error, transaction

from ..engine.limits import Limits
from ..engine.shared_limits import EXCHANGE
from ..models import User
from ..protocol.requests import Recipient
from ..services.errors import Refused
from ..services.messages.posts import cost_of
from ..services.queue import limit_counts
from ..services.storage.outages import Outage

_sharing = Outage("limits are not shared with other processes: %s", "limits are shared with other processes again")


class WebsiteLimits(Limits):
    """The limits of one process of the website. It exchanges counts with other processes in its views."""

    def __init__(self) -> None:
        super().__init__()
        self.hurry = self._exchange_now
        self._exchange_at = 0.0

    def _exchange_now(self) -> None:
        self._exchange_at = 0.0

    def exchange_on_commit(self) -> None:
        """Exchange what is due after the current transaction, but not more often than every EXCHANGE seconds."""
        if time.monotonic() >= self._exchange_at:
            self._exchange_at = time.monotonic() + EXCHANGE
            transaction.on_commit(self._exchange)

    def _exchange(self) -> None:
        rows = self.take_spent()
        try:
            if rows:
                self.learn_spent(rows, limit_counts.spend(rows))
                _sharing.over()
        except Error as error:
            self.put_back(rows)
            _sharing.met(error)


@cache
def limits() -> WebsiteLimits:
    """Return the limits of this process, which count members' requests."""
    return WebsiteLimits()


def spend(user: User) -> None:
    """Count a request of the user. Raise Refused if there are too many."""
    allowed = limits().spend("requests_per_user", user.uid)
    limits().exchange_on_commit()
    if not allowed:
        raise Refused("too_many_requests")


def spend_post(user: User, recipients: Sequence[Recipient], octets: int) -> None:
    """Count a post. Raise Refused if that is too much."""
    limits().spend_post(user.uid, len(recipients), cost_of(recipients), octets)
    limits().exchange_on_commit()


def spend_ping(user: User) -> None:
    """Count a ping or an invitation. Raise Refused if there are too many."""
    limits().spend_ping(user.uid)
    limits().exchange_on_commit()


def attempt(
    user: User, form: forms.Form, field: str | None, act: Callable[[], object], *, invites: bool = False
) -> bool:
    """Call a service for a user, and return whether it succeeded. If it is refused, add the error to the field.

    `invites` says that the service invites someone.
    """
    try:
        spend(user)
        if invites:
            spend_ping(user)
        with transaction.atomic():
            act()
    except Refused as refused:
        form.add_error(field, refused.text_for_people())
        return False
    return True
