"""Privacy of users: whom they block, and who sees them online.

A blocked user cannot write to the user who blocks them by name: posts, pings and invitations are refused, without the
reason. Posts to a group are still delivered, since one member could otherwise refuse them for all. Neither user sees
the other online.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from ...models import Block, Node, User
from ..errors import Refused, Unreachable
from ..queue.routing import tell_marked_on_commit
from ..storage import sql

EVERYONE, CONTACTS, NOBODY = (User.Presence[name].value for name in ("EVERYONE", "CONTACTS", "NOBODY"))


class Privacy(NamedTuple):
    """Who may see that a user is online: a `User.Presence`, and the uids of blocked users, who never may."""

    presence: int = EVERYONE
    blocked: frozenset[str] = frozenset()


OPEN = Privacy()


@transaction.atomic
def set_presence(user: User, presence: int) -> None:
    """Set who may see that the user is online, a `User.Presence`. Connected users are sent what changes for them."""
    User.objects.filter(pk=user.pk).update(presence=User.Presence(presence))
    changed(user)


@transaction.atomic
def block(user: User, other: User, name: str = "") -> None:
    """Block another user. Do nothing if they are blocked already. Raise Refused for the user themselves and the site.

    `name` is the name under which the user knows the other one. Pages show it in the list of blocked users, so that
    the list does not disclose other aliases.
    """
    if other.pk == user.pk:
        raise Refused("cannot_block_oneself")
    if other.is_site:
        raise Refused("cannot_block_site")
    User.objects.filter(pk=user.pk).update(blocks_someone=True)
    Block.objects.bulk_create([Block(user=user, blocked=other, name=name)], ignore_conflicts=True)
    changed(user)


@transaction.atomic
def unblock(user: User, other: User) -> None:
    """Let the other user write to the user again."""
    User.objects.select_for_update().get(pk=user.pk)  # another process may be blocking someone for the user
    Block.objects.filter(user=user, blocked=other).delete()
    User.objects.filter(pk=user.pk).update(blocks_someone=user.blocks.exists())
    changed(user)


def changed(user: User) -> None:
    """Have the servers of the user's devices read the user's privacy again, and whether the user is disabled."""
    Node.objects.filter(user=user, dropped=None, kind=Node.Kind.DEVICE).update(privacy_changed=timezone.now())
    tell_marked_on_commit()


def privacy_of(users: Collection[int]) -> dict[str, Privacy]:
    """Return the privacy of users, who are given by their ids, as a dict by uid."""
    blocked: dict[int, set[str]] = {}
    for user, uid in Block.objects.filter(user__in=users).values_list("user_id", "blocked__uid"):
        blocked.setdefault(user, set()).add(uid)
    found = User.objects.filter(pk__in=users).values_list("pk", "uid", "presence")
    return {uid: Privacy(presence, frozenset(blocked.get(pk, ()))) for pk, uid, presence in found}


def blocks_among(users: Collection[int], others: Collection[int]) -> set[tuple[int, int]]:
    """Return the pairs of ids (user, other) in which a user blocks one of the others."""
    return {(user, other) for user, other in sql.blocks_among(users, others)} if users else set()


def check_blocks(name: str, user: User, sender: int) -> None:
    """Raise Unreachable if the user blocks the sender. `name` is the name under which the sender knows the user."""
    if user.blocks_someone and blocks_among([user.pk], [sender]):
        raise Unreachable("unreachable", name=name)


def check_all(users: Iterable[User], sender: int) -> None:
    """Raise Unreachable, with the uid, if one of the users blocks the sender."""
    blocking = {user.pk: user for user in users if user.blocks_someone}
    for user, _ in blocks_among(blocking.keys(), [sender]):
        raise Unreachable("unreachable", name=blocking[user].uid)


def move(to: User, old: User) -> None:
    """Move the presence setting of a user who is to be deleted, and the blocks by them and of them, to another."""
    for found in old.blocks.exclude(blocked=to).select_related("blocked"):
        block(to, found.blocked, found.name)
    for found in Block.objects.filter(blocked=old).exclude(user=to).select_related("user"):
        block(found.user, to, found.name)
    if old.presence != EVERYONE:
        set_presence(to, old.presence)
