"""Find the members of a segment: as a `Q` on messaging users, and one on accounts that are no users yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import and_, or_

from django.core.exceptions import ValidationError
from django.db.models import Q

from ..errors import Refused
from . import kinds
from .models import Condition, Segment

NOBODY = Q(pk__in=[])


def users(segment: Segment) -> Q:
    """Return which users are in the segment, as of now."""
    return _combined(segment, _users)


def accounts(segment: Segment) -> Q:
    """Return which of the accounts without a user are in the segment, as of now."""
    return _combined(segment, _accounts)


def check(segment: Segment) -> None:
    """Raise Refused if the segment has no conditions, or one that cannot be told any more.

    A group that is gone must not make a message go to those whom it excluded.
    """
    if not segment.conditions.exists():
        raise Refused("broadcast_segment_empty", segment=segment.name)
    for condition in segment.conditions.all():
        try:
            condition.clean()
        except ValidationError as error:
            raise Refused("broadcast_segment_wrong", segment=segment.name, reason=" ".join(error.messages)) from None


def _combined(segment: Segment, meets: Callable[[kinds.Kind, Condition], Q]) -> Q:
    found = kinds.available()
    conditions = [(one, meets(found[one.kind], one)) for one in segment.conditions.all()]
    wanted = [condition for one, condition in conditions if not one.exclude]
    excluded = [condition for one, condition in conditions if one.exclude]
    together = reduce(and_ if segment.match == Segment.Match.ALL else or_, wanted) if wanted else ~NOBODY
    return reduce(and_, (~one for one in excluded), together)


def _users(kind: kinds.Kind, condition: Condition) -> Q:
    value = kind.parsed(condition.value)
    if kind.users:
        return kind.users(value)
    assert kind.accounts is not None
    return Q(account__in=kinds.all_accounts().filter(kind.accounts(value)).values("pk"))


def _accounts(kind: kinds.Kind, condition: Condition) -> Q:
    if kind.accounts:
        return kind.accounts(kind.parsed(condition.value))
    return ~NOBODY if kind.without_user else NOBODY
