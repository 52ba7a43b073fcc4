"""Members of the website as users of TMTP."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction

from ...models import Node, User
from ...protocol.values import make_uid
from ..errors import Refused
from ..queue import reports
from ..queue.queue import discard_queue, wake_on_commit
from ..storage import sql
from . import privacy
from .placeholders import hold


def user_of(account: Any) -> User:
    """The user that a member of the website is; a new one the first time, without a device yet."""
    return users_of([account])[account.pk]


@transaction.atomic
def users_of(accounts: Collection[Any]) -> dict[Any, User]:
    """The users that members of the website are, by the members' primary keys; new ones for those who are none yet."""
    known = {user.account_id: user for user in User.objects.filter(account__in=accounts)}
    new = [User(uid=make_uid(), account_id=account.pk) for account in accounts if account.pk not in known]
    if new:
        # Somebody else may be making the same user at this moment.
        User.objects.bulk_create(new, ignore_conflicts=True)
        known = {user.account_id: user for user in User.objects.filter(account__in=accounts)}
        hold([known[user.account_id].pk for user in new])
    return known


@transaction.atomic
def link_account(user: User, account: Any) -> None:
    """Say which member of the website a user is, or, with None, that it is nobody's.

    What waits for a member who has no device yet then waits for this user's. Raises Refused when the member is
    another user already, with a device or a mailbox.
    """
    other = User.objects.filter(account=account).exclude(pk=user.pk).first() if account is not None else None
    if other:
        _absorb(user, other)
    user.account = account  # and the member's `tmtp_user` is this one from now on
    user.save(update_fields=["account"])


def _absorb(user: User, other: User) -> None:
    """Give all that waits for `other`, who has no device or name, and their identities to the user; delete them."""
    places = other.nodes.filter(dropped=None)
    if places.exclude(kind=Node.Kind.HOLDING) or other.aliases.exists() or other.memberships.exists():
        raise Refused("account_taken")
    for place in places:
        for node in user.nodes.filter(dropped=None).order_by("pk"):
            sql.copy_queue(node.pk, place.pk)
            reports.move(place.pk, node.pk)
        discard_queue(place.pk)
    other.identities.update(user=user)
    privacy.move(user, other)
    other.delete()
    wake_on_commit()
