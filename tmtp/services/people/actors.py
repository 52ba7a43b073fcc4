"""The sender of a request, the user whom the sender addresses by name, and the nodes of users."""

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
    """A user who sends, and the node they send from. `node` is None for what does not come over a link."""

    uid: str
    user: int
    node: int | None = None


def owns(sender: Sender, alias: str) -> bool:
    """Return whether the alias is one of the sender's."""
    return User.objects.filter(pk=sender.user, aliases__name=alias, aliases__dropped=None).exists()


def addressee(sender: Sender, alias: str, to: str) -> User:
    """Return the user who has the alias `to`, for a sender who writes as `alias` (tmtp.md ops 5 and 9).

    Raise Refused if `alias` is not the sender's or nobody has the alias `to`. Raise Unreachable if that user blocks
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
    """Return the nodes in use of the users (their ids) and of the sender.

    The sending node is included only if the sender is one of the users.
    """
    users = set(users)
    nodes = nodes_of({*users, sender.user})
    return [node for node in nodes if node != sender.node or sender.user in users]


def nodes_of(users: Iterable[int]) -> list[int]:
    """Return the ids of the nodes in use of users, given by their ids."""
    return sql.nodes_of_users(users)


def devices_of(users: Iterable[int]) -> list[int]:
    """Return the ids of the devices in use of users, given by their ids: for messages that only devices need."""
    return sql.devices_of_users(users)
