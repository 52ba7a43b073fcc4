"""Choose the names to show for the author and readers of a post. The names in its head come from the sender.

The name in the head is shown if the user has this alias now, or had it when the message was posted. Otherwise one of
the user's own aliases is shown, or the uid. A group is shown by its gid. A deleted user is shown by a name they had.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from ...models import Alias, Group, User
from .names import aliases_of

AT_ONCE = 5000  # databases limit the values in a statement


class Named(NamedTuple):
    """A uid or gid, the name that a message has for it, and when the message was posted."""

    uid: str
    name: str
    posted: datetime


def shown_names(named: Collection[Named]) -> dict[Named, str]:
    """Return the name to show for each of these. Leave out those that never existed, or had no name."""
    left, shown = list(named), {}
    while left:
        shown.update(_shown(left[:AT_ONCE]))
        del left[:AT_ONCE]
    return shown


def _shown(named: Collection[Named]) -> dict[Named, str]:
    uids = {one.uid for one in named if one.uid.isprintable()}
    users = {user.uid: user for user in User.objects.filter(uid__in=uids)}
    missing = uids - users.keys()
    gids = set(Group.objects.filter(gid__in=missing).values_list("gid", flat=True))
    former = _former(missing - gids)
    true = _held([one for one in named if one.uid in users])
    doubtful = {one.uid for one in named if one.uid in users and one not in true}
    own = aliases_of([users[uid] for uid in doubtful])
    shown = {}
    for one in named:
        if one in true:
            shown[one] = one.name
        elif one.uid in users:
            shown[one] = own[users[one.uid].pk]
        elif one.uid in gids:
            shown[one] = one.uid
        elif one.uid in former:
            shown[one] = one.name if one.name in former[one.uid] else former[one.uid][0]
    return shown


def _former(uids: Collection[str]) -> dict[str, list[str]]:
    """Return the names that deleted users had, oldest first, by the users' uids."""
    names: dict[str, list[str]] = {}
    if uids:
        rows = Alias.objects.filter(former_uid__in=uids).order_by("pk").values_list("former_uid", "name")
        for uid, name in rows:
            names.setdefault(uid, []).append(name)
    return names


def _held(named: Collection[Named]) -> set[Named]:
    """Return those whose user has the name as an alias, or had it when the message was posted."""
    uids, names = {one.uid for one in named}, {one.name for one in named}
    aliases = Alias.objects.filter(user__uid__in=uids, name__in=names)
    held: dict[tuple[str, str], tuple[datetime, datetime | None]] = {
        (uid, name): (created, dropped)
        for uid, name, created, dropped in aliases.values_list("user__uid", "name", "created", "dropped")
    }
    true = set()
    for one in named:
        created, dropped = held.get((one.uid, one.name), (None, None))
        if created and (dropped is None or created <= one.posted <= dropped):
            true.add(one)
    return true
