"""The users who are online over links of this process, and the `ohi` messages about them (tmtp.md op 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..protocol import messages
from ..services.people.privacy import Privacy
from ..services.people.users import LoggedIn
from ..services.queue.batch import Parcel
from ..services.storage.handover import Notice
from .dispatcher import Lane
from .peers import Drop, Left, List, Peers
from .presence import Change, Presence
from .servers import Servers


class Link(Protocol):
    """The interface of an open link for the engine. `tmtp.links.session.Session` implements it."""

    address: str
    counted: bool  # whether the server has counted it when it was accepted
    sender: LoggedIn | None
    lease: int  # the lease of this server under which the link logged in
    lane: Lane | None
    heard: float  # the time.monotonic() at which octets arrived last
    moved: float  # the time.monotonic() at which the client took some of what is sent to it
    unsent_octets: int

    def __hash__(self) -> int: ...

    def send(self, parcel: Parcel) -> None:
        """Send a message from the queue."""

    def tell(self, frame: bytes) -> None:
        """Send a frame that another user has caused."""

    def greet(self, contacts: list[str]) -> None:
        """Tell the client that it has logged in, and which of its contacts are online."""

    @property
    def is_idle(self) -> bool:
        """Return whether no request, answer or message is in flight, in either direction."""

    def close(self, reason: str | None = None) -> None:
        """End the link."""

    def probe(self) -> None:
        """Send a message that the client acknowledges, if it is alive."""

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has been silent for too long, or sends a body too slowly."""


class Online:
    """The links that have logged in, by their users' uids. `peers` are the other servers."""

    def __init__(self, servers: Servers, own: Callable[[], int], send: Callable[[Sequence[Notice]], None]) -> None:
        self._presence = Presence()
        self.peers = Peers(self._presence, servers, own, send, self._tell)
        self._links: dict[str, set[Link]] = {}
        self._arrived: set[Link] = set()  # those that have been added, although the others may not have answered yet

    async def arrive(self, link: Link, sender: LoggedIn) -> list[str] | None:
        """Add a link of a user, and return which of the user's contacts are online, here or at other servers.

        Return None if the link has left meanwhile.
        """
        is_first = not self._presence.is_here(sender.uid)
        self._presence.arrive(sender.uid, sender.privacy)
        self._arrived.add(link)
        if is_first or self.peers.is_coming(sender.uid):
            await self.peers.come(sender.uid)
        if link not in self._arrived:
            return None
        self._links.setdefault(sender.uid, set()).add(link)
        return self._presence.contacts(sender.uid)

    def leave(self, link: Link, uid: str) -> None:
        """Remove a link of a user, if it was added, and tell others if it was the last."""
        if link not in self._arrived:
            return
        self._arrived.discard(link)
        links = self._links.get(uid, set())
        links.discard(link)
        if not links:
            self._links.pop(uid, None)
        self._tell(self._presence.leave(uid))
        if not self._presence.is_here(uid):
            self.peers.say(Left([uid]))

    def contacts_with(self, uid: str, others: Iterable[str]) -> int:
        """Return to how many others a user would announce, with these."""
        return self._presence.announced_with(uid, others)

    def announce(self, uid: str, others: Iterable[str], *, online: bool) -> None:
        """Start or stop announcing a user's presence to others."""
        others = list(others)
        self._tell((self._presence.add if online else self._presence.drop)(uid, others))
        if self._presence.is_here(uid):
            self.peers.say(List(self._presence.listed(uid, others)) if online else Drop(uid, others))

    def protect(self, chosen: dict[str, Privacy]) -> None:
        """Apply the privacy that users have chosen on the website, given by uid."""
        for uid, privacy in chosen.items():
            self._tell(self._presence.protect(uid, privacy))
            self.peers.say(List(self._presence.listed(uid, [])))

    def _tell(self, changes: Iterable[Change]) -> None:
        frames: dict[tuple[str, int], bytes] = {}
        for uid, other, status in changes:
            for link in self._links.get(other, ()):
                frame = frames.get((uid, status)) or frames.setdefault((uid, status), messages.ohi(uid, status))
                link.tell(frame)
