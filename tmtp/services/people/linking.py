"""The link between members of the website (`AUTH_USER_MODEL`) and users of TMTP."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.utils import timezone

from ...models import Node, User
from ...protocol.values import make_uid
from ..errors import Refused
from ..queue import reports
from ..queue.queue import discard_queue, wake_on_commit
from ..storage import sql
from . import privacy
from .accounts import is_active
from .placeholders import hold


def user_of(account: Any) -> User:
    """Return the user of a member of the website. Create one, without a device, if there is none."""
    return users_of([account])[account.pk]


def users_of(accounts: Collection[Any]) -> dict[Any, User]:
    """Return the users of members of the website, by the members' primary keys. Create those that are missing."""
    # First without a transaction: on SQLite it would wait for whoever writes.
    known = _known(accounts)
    new = [account for account in accounts if account.pk not in known]
    return known | _create(new) if new else known


def _known(accounts: Collection[Any]) -> dict[Any, User]:
    return {user.account_id: user for user in User.objects.filter(account__in=accounts)}


@transaction.atomic
def _create(accounts: Collection[Any]) -> dict[Any, User]:
    # Another process may be creating the same user at this moment.
    User.objects.bulk_create([_new_user(account) for account in accounts], ignore_conflicts=True)
    users = _known(accounts)
    hold([user.pk for user in users.values()])
    return users


@transaction.atomic
def new_user() -> User:
    """Create a user without an account or device. Their messages wait for a first device."""
    user = User.objects.create(uid=make_uid())
    hold([user.pk])
    return user


def _new_user(account: Any) -> User:
    """Return a user for an account, who is not saved yet."""
    return User(uid=make_uid(), account_id=account.pk, disabled=None if is_active(account) else timezone.now())


@transaction.atomic
def link_account(user: User, account: Any) -> None:
    """Link a user to a member of the website, or, with None, to nobody.

    If the member has a user without a device or mailbox already, its waiting messages go to the devices of `user`.
    Raise Refused if the member has a user with a device, a mailbox, an alias or a group.
    """
    other = User.objects.filter(account=account).exclude(pk=user.pk).first() if account is not None else None
    if other:
        _absorb(user, other)
    user.account = account  # and the member's `tmtp_user` is this one from now on
    user.disabled = None if account is None or is_active(account) else timezone.now()
    user.save(update_fields=["account", "disabled"])
    if user.disabled:
        privacy.changed(user)


def _absorb(user: User, other: User) -> None:
    """Move the waiting messages, identities and privacy of `other` to the user, and delete `other`.

    Raise Refused if `other` has a device, a mailbox, an alias or a group.
    """
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
