"""Who acts in a service, whom they write to by name, and the nodes of users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...models import User
from ..errors import Refused, Unreachable
from ..queue.quota import is_full
from ..storage import sql
from .privacy import check_blocks


@dataclass(slots=True)
class Sender:
    """Who sends: a user, and the node they send from (None for the site itself)."""

    uid: str
    user: int
    node: int | None = None


def owns(sender: Sender, alias: str) -> bool:
    """Return whether the alias is one of the sender's."""
    return User.objects.filter(pk=sender.user, aliases__name=alias, aliases__dropped=None).exists()


def addressee(sender: Sender, alias: str, to: str) -> User:
    """Return the user behind the alias `to`, whom the sender writes to as `alias` (tmtp.md ops 5 and 9).

    Raise Refused when `alias` is not the sender's or nobody has the alias `to`, and Unreachable when that user blocks
    the sender or all of their nodes are full.
    """
    if not owns(sender, alias):
        raise Refused("alias_not_yours", field="from")
    user = User.objects.filter(aliases__name=to, aliases__dropped=None).annotate(is_full=is_full()).first()
    if user is None:
        raise Refused("alias_not_found", name=to)
    check_blocks(to, user, sender.user)
    if user.is_full:
        raise Unreachable("unreachable", name=to)
    return user


def own_and(sender: Sender, users: Iterable[int]) -> list[int]:
    """Return the nodes in use of the users and of the sender; the sending one only if its user is among the users."""
    users = set(users)
    nodes = nodes_of({*users, sender.user})
    return [node for node in nodes if node != sender.node or sender.user in users]


def nodes_of(users: Iterable[int]) -> list[int]:
    """Return the nodes in use of users, who are given by their ids."""
    return sql.nodes_of_users(users)


def devices_of(users: Iterable[int]) -> list[int]:
    """Return the nodes in use of users that are devices: for what is of use only to a device."""
    return sql.devices_of_users(users)
