"""How many wrong passwords lock an address out of sign-in, for the cool-off of django-axes (AXES_FAILURE_LIMIT)."""

from __future__ import annotations

from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.models import AccessAttempt
from django.db.models import Sum
from django.http import HttpRequest

from ..usernames import lockout_name

PER_NAME_AND_ADDRESS = 10
PER_ADDRESS = 100  # for all names together
PER_NAME = 50  # from all addresses together; afterwards each address has only a few tries
FEW = 2


def failure_limit(request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
    """Return how many wrong passwords for a name lock out the address of the request.

    0 locks it out for all names: it has tried too much already. A name that many addresses try is never locked
    everywhere, since others could then keep the member out.
    """
    if _failures(request, ip_address=request.axes_ip_address) >= PER_ADDRESS:
        return 0
    name = lockout_name(request, credentials)
    if name is not None and _failures(request, username=name) >= PER_NAME:
        return FEW
    return PER_NAME_AND_ADDRESS


def _failures(request: HttpRequest, **where: Any) -> int:
    recent = AccessAttempt.objects.filter(attempt_time__gte=get_cool_off_threshold(request), **where)
    return recent.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
