"""Who announces to whom that they are online (tmtp.md op 4). Kept while the user is online with any node here."""

from __future__ import annotations

from collections.abc import Iterable

ONLINE, OFFLINE = 1, 2


class Presence:
    """Users by uid; who is told of a change is given back, the telling is the caller's."""

    def __init__(self) -> None:
        self._links: dict[str, int] = {}
        self._told: dict[str, set[str]] = {}  # whom a user announces to
        self._tells: dict[str, set[str]] = {}  # the same, the other way round

    def arrive(self, uid: str) -> list[str]:
        """A node of the user has logged in; gives who announces to them and is online."""
        self._links[uid] = self._links.get(uid, 0) + 1
        return sorted(self._tells.get(uid, ()))

    def leave(self, uid: str) -> list[str]:
        """A node of the user is gone; gives who is to be told that the user is offline, when it was the last."""
        self._links[uid] -= 1
        if self._links[uid]:
            return []
        del self._links[uid]
        return self.drop(uid, list(self._told.get(uid, ())))

    def add(self, uid: str, others: Iterable[str]) -> list[str]:
        """The user announces to others; gives those to whom that is new."""
        told = self._told.setdefault(uid, set())
        new = [other for other in dict.fromkeys(others) if other not in told]
        told.update(new)
        for other in new:
            self._tells.setdefault(other, set()).add(uid)
        return new

    def drop(self, uid: str, others: Iterable[str]) -> list[str]:
        """The user no longer announces to others; gives those to whom that is new."""
        told = self._told.get(uid, set())
        gone = [other for other in dict.fromkeys(others) if other in told]
        for other in gone:
            told.discard(other)
            self._tells[other].discard(uid)
            if not self._tells[other]:
                del self._tells[other]
        if not told:
            self._told.pop(uid, None)
        return gone
