"""Who announces to whom that they are online (tmtp.md op 4). Kept while the user is online with any node here.

A user's devices name whom to announce them to; what the user chose on the website (`Privacy`) is a sieve on that, so
no client need know of it. Of two users of whom one blocks the other, neither is shown to the other. Who is shown to
contacts alone is shown to those who announce themselves, too: it takes both to be contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..services.people.privacy import CONTACTS, NOBODY, OPEN, Privacy

ONLINE, OFFLINE = 1, 2


class Change(NamedTuple):
    """`other` is to be told that `uid` is ONLINE or OFFLINE."""

    uid: str
    other: str  # who is told
    status: int


class Presence:
    """Users by uid. Methods return whom to tell of what; the caller tells them."""

    def __init__(self) -> None:
        self._links: dict[str, int] = {}
        self._told: dict[str, set[str]] = {}  # whom a user announces to
        self._tells: dict[str, set[str]] = {}  # the same, the other way round
        self._privacy: dict[str, Privacy] = {}  # of those who have chosen something, and are here

    def arrive(self, uid: str, privacy: Privacy = OPEN) -> list[str]:
        """Add a node of a user that has logged in. Return who is online and shown to the user."""
        self._links[uid] = self._links.get(uid, 0) + 1
        if self._links[uid] == 1:  # when a later one knows better, `protect` is called, which tells of the change
            self._choose(uid, privacy)
        return sorted(other for other in self._tells.get(uid, ()) if self._shows(other, uid))

    def leave(self, uid: str) -> list[Change]:
        """Remove a node of a user. Return what changes for whom, when it was the last."""
        self._links[uid] -= 1
        if self._links[uid]:
            return []
        del self._links[uid]
        changes = self.drop(uid, list(self._told.get(uid, ())))
        self._privacy.pop(uid, None)
        return changes

    def add(self, uid: str, others: Iterable[str]) -> list[Change]:
        """Announce a user to others. Return what changes for whom: nothing when the user's links have ended."""
        if uid not in self._links:
            return []
        others = list(others)
        return self._changes(_both_ways(uid, others), lambda: self._add(uid, others))

    def drop(self, uid: str, others: Iterable[str]) -> list[Change]:
        """Announce a user no longer to others. Return what changes for whom."""
        others = list(others)
        return self._changes(_both_ways(uid, others), lambda: self._drop(uid, others))

    def protect(self, uid: str, privacy: Privacy) -> list[Change]:
        """Apply what a user has chosen about who may see them online. Return what changes for whom."""
        if uid not in self._links:
            return []
        others = self._told.get(uid, set()) | self._tells.get(uid, set())
        return self._changes(_both_ways(uid, others), lambda: self._choose(uid, privacy))

    def _shows(self, uid: str, other: str) -> bool:
        """Return whether the other user sees that the user is online."""
        if other not in self._told.get(uid, ()):
            return False
        if not self._privacy:
            return True
        own, theirs = self._privacy.get(uid, OPEN), self._privacy.get(other, OPEN)
        if own.presence == NOBODY or other in own.blocked or uid in theirs.blocked:
            return False
        return own.presence != CONTACTS or uid in self._told.get(other, ())

    def _changes(self, pairs: Iterable[tuple[str, str]], change: Callable[[], None]) -> list[Change]:
        before = {pair: self._shows(*pair) for pair in pairs}
        change()
        after = ((pair, was, self._shows(*pair)) for pair, was in before.items())
        return [Change(*pair, ONLINE if shows else OFFLINE) for pair, was, shows in after if was != shows]

    def _choose(self, uid: str, privacy: Privacy) -> None:
        self._privacy.pop(uid, None)
        if privacy != OPEN:
            self._privacy[uid] = privacy

    def _add(self, uid: str, others: Iterable[str]) -> None:
        self._told.setdefault(uid, set()).update(others)
        for other in others:
            self._tells.setdefault(other, set()).add(uid)

    def _drop(self, uid: str, others: Iterable[str]) -> None:
        told = self._told.get(uid, set())
        for other in told.intersection(others):
            told.discard(other)
            self._tells[other].discard(uid)
            if not self._tells[other]:
                del self._tells[other]
        if not told:
            self._told.pop(uid, None)


def _both_ways(uid: str, others: Iterable[str]) -> list[tuple[str, str]]:
    return [pair for other in others for pair in ((uid, other), (other, uid))]
