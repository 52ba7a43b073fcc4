"""Whom a user blocks, and who is told that they are online.

Who is blocked cannot write to the one who blocks them by name: posts, pings and invitations are refused, in words that
do not tell why. What they say in a group still comes, or one member could silence it for others. Neither sees the
other online.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from ...models import Block, Node, User
from ..errors import Refused, Unreachable
from ..queue.queue import wake_on_commit
from ..storage import sql

EVERYONE, CONTACTS, NOBODY = (User.Presence[name].value for name in ("EVERYONE", "CONTACTS", "NOBODY"))


class Privacy(NamedTuple):
    """Who is told that a user is online: `presence`, but never those `blocked`, by their uids."""

    presence: int = EVERYONE
    blocked: frozenset[str] = frozenset()


OPEN = Privacy()


@transaction.atomic
def set_presence(user: User, presence: int) -> None:
    """Say who is told that the user is online, a `User.Presence`; whoever is connected is told what has changed."""
    User.objects.filter(pk=user.pk).update(presence=User.Presence(presence))
    _changed(user)


@transaction.atomic
def block(user: User, other: User, name: str = "") -> None:
    """The user wants nothing more from another one; again: nothing changes. Raises Refused for oneself and the site.

    `name` is what the user calls them, to be shown to the user again: they may not know other aliases of theirs.
    """
    if other.pk == user.pk:
        raise Refused("cannot_block_oneself")
    if other.is_site:
        raise Refused("cannot_block_site")
    User.objects.filter(pk=user.pk).update(blocks_someone=True)
    Block.objects.bulk_create([Block(user=user, blocked=other, name=name)], ignore_conflicts=True)
    _changed(user)


@transaction.atomic
def unblock(user: User, other: User) -> None:
    """The other one may write to the user again."""
    User.objects.select_for_update().get(pk=user.pk)  # somebody may be blocking somebody else at this moment
    Block.objects.filter(user=user, blocked=other).delete()
    User.objects.filter(pk=user.pk).update(blocks_someone=user.blocks.exists())
    _changed(user)


def _changed(user: User) -> None:
    """Have the servers that the user's nodes are connected to, or will be, read again what is here."""
    Node.objects.filter(user=user, dropped=None, kind=Node.Kind.DEVICE).update(privacy_changed=timezone.now())
    wake_on_commit()


def privacy_of(users: Collection[int]) -> dict[str, Privacy]:
    """The privacy of users, given by their ids, by their uids."""
    blocked: dict[int, set[str]] = {}
    for user, uid in Block.objects.filter(user__in=users).values_list("user_id", "blocked__uid"):
        blocked.setdefault(user, set()).add(uid)
    found = User.objects.filter(pk__in=users).values_list("pk", "uid", "presence")
    return {uid: Privacy(presence, frozenset(blocked.get(pk, ()))) for pk, uid, presence in found}


def blocks_among(users: Collection[int], others: Collection[int]) -> set[tuple[int, int]]:
    """Who of the users blocks whom of the others: pairs of ids."""
    return {(user, other) for user, other in sql.blocks_among(users, others)} if users else set()


def check_blocks(name: str, user: User, sender: int) -> None:
    """Raises Unreachable when the user, whom the sender calls by this name, blocks them."""
    if user.blocks_someone and blocks_among([user.pk], [sender]):
        raise Unreachable("unreachable", name=name)


def check_all(users: Iterable[User], sender: int) -> None:
    """Raises Unreachable, with the uid, when one of the users blocks the sender."""
    wary = {user.pk: user for user in users if user.blocks_someone}
    for user, _ in blocks_among(wary.keys(), [sender]):
        raise Unreachable("unreachable", name=wary[user].uid)


def move(to: User, old: User) -> None:
    """A user takes over from another, who is to be deleted: what they chose, whom they block, and who blocks them."""
    for found in old.blocks.exclude(blocked=to).select_related("blocked"):
        block(to, found.blocked, found.name)
    for found in Block.objects.filter(blocked=old).exclude(user=to).select_related("user"):
        block(found.user, to, found.name)
    if old.presence != EVERYONE:
        set_presence(to, old.presence)
