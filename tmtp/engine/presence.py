"""Presence lists: which users announce to which others that they are online (tmtp.md op 4).

A list is kept while its user is online with at least one node of this process. A user's devices name the users to
announce to. The privacy that the user has chosen on the website (`Privacy`) can only hide the user from some of these,
so that clients need not know of it. If one of two users blocks the other, neither sees the other online. "Contacts
only" means users who announce themselves to the user in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..services.people.privacy import CONTACTS, NOBODY, OPEN, Privacy

ONLINE, OFFLINE = 1, 2


class Change(NamedTuple):
    """The news for the user `other` that the user `uid` is ONLINE or OFFLINE."""

    uid: str
    other: str
    status: int


class Presence:
    """The presence lists of this process, by uid. Methods return the changes, and the caller sends them."""

    def __init__(self) -> None:
        self._links: dict[str, int] = {}  # how many links a user has
        self._announces_to: dict[str, set[str]] = {}  # the users to whom a user announces
        self._announced_by: dict[str, set[str]] = {}  # the same, the other way round
        self._privacy: dict[str, Privacy] = {}  # of the users here whose privacy is not OPEN

    def arrive(self, uid: str, privacy: Privacy = OPEN) -> list[str]:
        """Add a node that has logged in to its user. Return the uids of users whom this user sees online."""
        self._links[uid] = self._links.get(uid, 0) + 1
        if self._links[uid] == 1:  # later changes come through `protect`, which returns what they change
            self._choose(uid, privacy)
        return sorted(other for other in self._announced_by.get(uid, ()) if self._shows(other, uid))

    def leave(self, uid: str) -> list[Change]:
        """Remove a node of a user. If it was the last, return the changes for other users."""
        self._links[uid] -= 1
        if self._links[uid]:
            return []
        del self._links[uid]
        changes = self.drop(uid, list(self._announces_to.get(uid, ())))
        self._privacy.pop(uid, None)
        return changes

    def add(self, uid: str, others: Iterable[str]) -> list[Change]:
        """Announce a user to others. Return the changes, or none if the user's links have ended."""
        if uid not in self._links:
            return []
        others = list(others)
        return self._changes(_both_ways(uid, others), lambda: self._add(uid, others))

    def drop(self, uid: str, others: Iterable[str]) -> list[Change]:
        """Stop announcing a user to others. Return the changes."""
        others = list(others)
        return self._changes(_both_ways(uid, others), lambda: self._drop(uid, others))

    def protect(self, uid: str, privacy: Privacy) -> list[Change]:
        """Apply the privacy that a user has chosen. Return the changes."""
        if uid not in self._links:
            return []
        others = self._announces_to.get(uid, set()) | self._announced_by.get(uid, set())
        return self._changes(_both_ways(uid, others), lambda: self._choose(uid, privacy))

    def _shows(self, uid: str, other: str) -> bool:
        """Return whether the user `other` sees the user `uid` online."""
        if other not in self._announces_to.get(uid, ()):
            return False
        if not self._privacy:
            return True
        own, theirs = self._privacy.get(uid, OPEN), self._privacy.get(other, OPEN)
        if own.presence == NOBODY or other in own.blocked or uid in theirs.blocked:
            return False
        return own.presence != CONTACTS or uid in self._announces_to.get(other, ())

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
        self._announces_to.setdefault(uid, set()).update(others)
        for other in others:
            self._announced_by.setdefault(other, set()).add(uid)

    def _drop(self, uid: str, others: Iterable[str]) -> None:
        announces_to = self._announces_to.get(uid, set())
        for other in announces_to.intersection(others):
            announces_to.discard(other)
            self._announced_by[other].discard(uid)
            if not self._announced_by[other]:
                del self._announced_by[other]
        if not announces_to:
            self._announces_to.pop(uid, None)


def _both_ways(uid: str, others: Iterable[str]) -> list[tuple[str, str]]:
    return [pair for other in others for pair in ((uid, other), (other, uid))]
