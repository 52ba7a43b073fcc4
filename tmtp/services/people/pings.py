"""Count pings and invitations of one user to another, under TMTP["LIMITS"].

Whether two users share a group is in the database, and so are these counts: they are exact, whichever process counts.
"""

from __future__ import annotations

from ...conf import conf
from ...models import Member, User
from ..errors import Refused
from ..queue import limit_counts
from .actors import Sender

DAY = 86400.0
JOINED = Member.Status.JOINED


def count_ping(sender: Sender, recipient: User, name: str) -> None:
    """Count a ping or an invitation to a user who is addressed as `name`. Raise Refused if there are too many.

    Call it in a transaction that is undone when it raises. What one sends to oneself, and what the site gets from all
    users, is not counted. Strangers may send a user half of what all may, so that they cannot keep others out.
    """
    if recipient.pk == sender.user:
        return
    pair, stranger, to_user = map(conf.limit, ("pings_per_pair", "pings_per_stranger", "pings_to_user"))
    if recipient.is_site:
        to_user = None
    if (pair, stranger, to_user) == (None, None, None):
        return
    is_stranger = not shares_group(sender, recipient)
    between, kind = (stranger, "pings_per_stranger") if is_stranger else (pair, "pings_per_pair")
    if _spend(kind, f"{sender.uid} {recipient.uid}", between, between):
        raise Refused("too_many_pings_to", name=name)
    if _spend("pings_to_user", recipient.uid, to_user, to_user and (to_user / 2 if is_stranger else to_user)):
        raise Refused("gets_too_many_pings", name=name)


def _spend(limit: str, who: str, a_day: int | None, most: float | None) -> bool:
    """Count one of so many a day. Return whether more than `most` are spent then."""
    if a_day is None or most is None:
        return False
    (spent,) = limit_counts.spend([(limit, who, 1.0, a_day / DAY)])
    return spent > max(most, 1)


def shares_group(sender: Sender, recipient: User) -> bool:
    """Return whether both have joined the same group."""
    groups = Member.objects.filter(user=recipient, status=JOINED).values("group")
    return Member.objects.filter(user=sender.user, status=JOINED, group__in=groups).exists()
