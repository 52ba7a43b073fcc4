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
    users, is not counted.
    """
    if recipient.pk == sender.user:
        return
    pair = conf.limit("pings_per_pair"), conf.limit("pings_per_stranger")
    counted: list[tuple[str, str, int]] = []
    if pair != (None, None):
        most, limit = (
            (pair[0], "pings_per_pair") if shares_group(sender, recipient) else (pair[1], "pings_per_stranger")
        )
        counted += [(limit, f"{sender.uid} {recipient.uid}", most)] if most is not None else []
    most = conf.limit("pings_to_user")
    if most is not None and not recipient.is_site:
        counted.append(("pings_to_user", recipient.uid, most))
    if not counted:
        return
    spent = limit_counts.spend([(limit, who, 1.0, most / DAY) for limit, who, most in counted])
    for (limit, _, most), amount in zip(counted, spent, strict=True):
        if amount > most and limit == "pings_to_user":
            raise Refused("gets_too_many_pings", name=name)
        if amount > most:
            raise Refused("too_many_pings_to", name=name)


def shares_group(sender: Sender, recipient: User) -> bool:
    """Return whether both have joined the same group."""
    groups = Member.objects.filter(user=recipient, status=JOINED).values("group")
    return Member.objects.filter(user=sender.user, status=JOINED, group__in=groups).exists()
