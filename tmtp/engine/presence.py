"""Presence lists: which users announce to which others that they are online (tmtp.md op 4).

A list is kept while its user is online with at least one node. A user's devices name the users to announce to. The
privacy that the user has chosen on the website (`Privacy`) can only hide the user from some of these, so that clients
need not know of it. If one of two users blocks the other, neither sees the other online. "Contacts only" means users
who announce themselves to the user in turn.

A user may be online at several servers, the user's places. Each server has the whole lists of the users who are online
at it. Of the users elsewhere, it knows that they announce themselves to these. That is enough to tell who sees whom.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

from ..services.people.privacy import CONTACTS, NOBODY, OPEN, Privacy

ONLINE, OFFLINE = 1, 2


class Change(NamedTuple):
    """The news for the user `other` that the user `uid` is ONLINE or OFFLINE."""

    uid: str
    other: str
    status: int


class Listed(NamedTuple):
    """What a server tells another one about a user: whom the user announces to, and who may see that."""

    uid: str
    others: list[str]
    presence: int = OPEN.presence
    blocked: list[str] = []

    @property
    def privacy(self) -> Privacy:
        """The user's privacy, as far as it concerns these others."""
        return Privacy(self.presence, frozenset(self.blocked))


class Presence:
    """The presence lists that one server knows, by uid. Methods return the changes, and the caller sends them."""

    def __init__(self) -> None:
        self._links: dict[str, int] = {}  # how many links to this server a user has
        self._places: dict[str, set[int]] = {}  # the other servers where a user is online
        self._announces_to: dict[str, set[str]] = {}  # the users to whom a user announces
        self._announced_by: dict[str, set[str]] = {}  # the same, the other way round
        self._privacy: dict[str, Privacy] = {}  # of the users here whose privacy is not OPEN

    def arrive(self, uid: str, privacy: Privacy = OPEN) -> None:
        """Add a node that has logged in to its user."""
        self._links[uid] = self._links.get(uid, 0) + 1
        if self._links[uid] == 1:  # later changes come through `protect`, which returns what they change
            self._choose(uid, privacy)

    def contacts(self, uid: str) -> list[str]:
        """Return the uids of users whom this user sees online."""
        return sorted(other for other in self._announced_by.get(uid, ()) if self._shows(other, uid))

    def leave(self, uid: str) -> list[Change]:
        """Remove a node of a user. If it was the last, return the changes for other users."""
        self._links[uid] -= 1
        if self._links[uid]:
            return []
        del self._links[uid]
        for other in list(self._announced_by.get(uid, ())):
            if other not in self._links:  # of users elsewhere, only what concerns users here
                self._drop(other, [uid])
                self._forget_unlisted(other)
        if uid in self._places:
            self._drop(uid, [other for other in self._announces_to.get(uid, ()) if other not in self._links])
            self._forget_unlisted(uid)
            return []
        return self._end(uid)

    def is_here(self, uid: str) -> bool:
        """Return whether a user is online at this server."""
        return uid in self._links

    def announced_with(self, uid: str, others: Iterable[str]) -> int:
        """Return to how many others a user would announce, if these were added."""
        return len(self._announces_to.get(uid, set()).union(others))

    def announces(self, uid: str, others: Iterable[str]) -> bool:
        """Return whether a user announces to one of these others."""
        return not self._announces_to.get(uid, set()).isdisjoint(others)

    @property
    def users_here(self) -> list[str]:
        """The users who are online at this server."""
        return list(self._links)

    def add(self, uid: str, others: Iterable[str]) -> list[Change]:
        """Announce a user to others. Return the changes, or none if the user's links have ended."""
        if uid not in self._links:
            return []
        others = list(others)
        return self._changes(_both_ways(uid, others), lambda: self._add(uid, others))

    def drop(self, uid: str, others: Iterable[str]) -> list[Change]:
        """Stop announcing a user to others. Return the changes."""
        others = list(others)
        return self._changes(_both_ways(uid, others), lambda: self._drop_and_forget(uid, others))

    def protect(self, uid: str, privacy: Privacy) -> list[Change]:
        """Apply the privacy that a user has chosen. Return the changes."""
        if uid not in self._links and uid not in self._places:
            return []
        others = self._announces_to.get(uid, set()) | self._announced_by.get(uid, set())
        return self._changes(_both_ways(uid, others), lambda: self._choose(uid, privacy))

    # what other servers are told, and what they tell

    def listed(self, uid: str, others: Iterable[str] | None = None) -> Listed:
        """Return what another server is told about a user here: the whole list, or this part of it."""
        everyone = self._announces_to.get(uid, set())
        part = everyone if others is None else others
        privacy = self._privacy.get(uid, OPEN)
        return Listed(uid, list(part), privacy.presence, list(privacy.blocked & everyone))

    def listed_for(self, uids: Iterable[str]) -> list[Listed]:
        """Return what a server is told when these users come online there: who announces to them, and their lists."""
        parts: dict[str, list[str]] = {}
        for uid in uids:
            for announcing in self._announced_by.get(uid, ()):
                if announcing in self._links:
                    parts.setdefault(announcing, []).append(uid)
        whole = [self.listed(uid) for uid in uids if uid in self._links]
        return [self.listed(uid, part) for uid, part in parts.items()] + whole

    def come(self, place: int, uids: Iterable[str]) -> None:
        """Note that users came online at another server. It matters for users who are online here as well."""
        for uid in uids:
            if uid in self._links:
                self._places.setdefault(uid, set()).add(place)

    def learn(self, place: int, listed: Listed) -> list[Change]:
        """Take over what another server tells about a user. Return the changes."""
        uid, here = listed.uid, listed.uid in self._links
        others = [other for other in listed.others if here or other in self._links]
        if not others and not here and uid not in self._announces_to:
            return []

        def take_over() -> None:
            self._places.setdefault(uid, set()).add(place)
            self._add(uid, others)
            if not here:
                self._choose(uid, listed.privacy)
                self._forget_unlisted(uid)

        known = self._announces_to.get(uid, set()) | self._announced_by.get(uid, set())
        return self._changes(_both_ways(uid, known.union(others)), take_over)

    def keep_only(self, place: int, lists: Iterable[Listed], places: Container[str]) -> list[Change]:
        """Forget what a server no longer tells: these are all its lists, and `places` all users who are online there.

        Return the changes.
        """
        told = {listed.uid: set(listed.others) for listed in lists}
        changes = []
        for uid in [uid for uid, servers in self._places.items() if place in servers]:
            if uid not in (places if uid in self._links else told):
                changes += self.go(place, [uid])
            elif uid not in self._links:
                changes += self.drop(uid, self._announces_to.get(uid, set()) - told[uid])
        return changes

    def go(self, place: int, uids: Iterable[str] | None = None) -> list[Change]:
        """Note that users, or all, are no longer online at another server. Return the changes."""
        changes = []
        for uid in list(self._places if uids is None else uids):
            servers = self._places.get(uid, set())
            servers.discard(place)
            if not servers and self._places.pop(uid, None) is not None and uid not in self._links:
                changes += self._end(uid)
        return changes

    def begin_anew(self, uid: str) -> list[Change]:
        """Forget the list of a user who is here, unless the user is at another server, too. Return the changes."""
        return [] if uid in self._places else self.drop(uid, list(self._announces_to.get(uid, ())))

    def _end(self, uid: str) -> list[Change]:
        changes = self.drop(uid, list(self._announces_to.get(uid, ())))
        self._privacy.pop(uid, None)
        return changes

    def _forget_unlisted(self, uid: str) -> None:
        """Forget a user elsewhere who announces to nobody here."""
        if uid not in self._links and uid not in self._announces_to:
            self._places.pop(uid, None)
            self._privacy.pop(uid, None)

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

    def _drop_and_forget(self, uid: str, others: Iterable[str]) -> None:
        self._drop(uid, others)
        self._forget_unlisted(uid)

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
