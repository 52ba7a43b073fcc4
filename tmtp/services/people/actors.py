"""Who acts in a service: a user and the node they send from, and the nodes that hear of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...models import User
from ..storage import sql


@dataclass(slots=True)
class Sender:
    """Who sends: a user, and the node they send from (None for the site itself)."""

    uid: str
    user: int
    node: int | None = None


def owns(sender: Sender, alias: str) -> bool:
    """Whether the alias is one of the sender's."""
    return User.objects.filter(pk=sender.user, aliases__name=alias, aliases__dropped=None).exists()


def own_and(sender: Sender, users: Iterable[int]) -> list[int]:
    """The nodes in use of the users and of the sender; not the sending one, unless its user is among the users."""
    users = set(users)
    nodes = nodes_of({*users, sender.user})
    return [node for node in nodes if node != sender.node or sender.user in users]


def nodes_of(users: Iterable[int]) -> list[int]:
    """The nodes in use of users, by their ids."""
    return sql.nodes_of_users(users)


def devices_of(users: Iterable[int]) -> list[int]:
    """The nodes in use of users that are devices: for what only a device has a use for."""
    return sql.devices_of_users(users)
