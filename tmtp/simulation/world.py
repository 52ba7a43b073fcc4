"""The users, their nodes and groups: registered over links as any client would, before the simulation begins."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from .ledger import Ledger
from .link import Address, Head, Link, LinkEnded

AT_ONCE = 50  # links that log in at the same time: a login has five seconds
GROUP_SIZE = 100
LABEL = "simulated"


class CannotBegin(Exception):
    """The server does not take so many users."""


@dataclass(eq=False)
class Node:
    """One device. `born` is the serial of the last post before it was there."""

    key: int
    nodeid: str
    user: User
    born: int = 0
    link: Link | None = None


@dataclass(eq=False)
class User:
    """Someone with nodes."""

    index: int
    alias: str
    gid: str
    group: list[User]  # all members of the group, this one too
    uid: str = ""
    nodes: list[Node] = field(default_factory=list)


@dataclass
class World:
    """Everyone. `ledger` gets what arrives; `on_user` is told the nodeid of a new node."""

    address: Address
    tls: ssl.SSLContext | None
    ledger: Ledger = field(default_factory=Ledger)
    users: list[User] = field(default_factory=list)
    others: int = 0  # messages that are no posts
    serial: int = 0  # of requests
    keys: int = 0
    on_user: Callable[[Node, Head], None] = lambda node, head: None

    def __post_init__(self) -> None:
        self.gate = asyncio.Semaphore(AT_ONCE)

    def next_id(self) -> str:
        """An id for a request."""
        self.serial += 1
        return str(self.serial)

    def add_node(self, user: User, nodeid: str) -> Node:
        """A user has a node more, from now on."""
        self.keys += 1
        node = Node(self.keys, nodeid, user, self.ledger.posted)
        user.nodes.append(node)
        return node

    async def open(self, receive: Callable[[Link, Head, bytes], None]) -> Link:
        """A new link."""
        return await Link.open(self.address, self.tls, receive)

    async def log_in(self, node: Node) -> Link:
        """Connect a node. Raises LinkEnded, OSError or TimeoutError."""
        async with self.gate:
            link = await self.open(self.receiver(node))
            await link.log_in(node.user.uid, node.nodeid)
        node.link = link
        return link

    def receiver(self, node: Node) -> Callable[[Link, Head, bytes], None]:
        """What takes the messages for a node."""
        ledger, kinds = self.ledger, {"delivery", "ping"}

        def receive(link: Link, head: Head, data: bytes) -> None:
            if head.op in kinds:
                ledger.arrive(node.key, node.born, head, data, link.acknowledges)
            else:
                self.others += 1
                if head.nodeid:
                    self.on_user(node, head)

        return receive

    # before it begins

    async def populate(self, count: int, told: Callable[[str], None]) -> None:
        """Register users and form their groups. Raises CannotBegin."""
        groups = self._name(count)
        try:
            told("registering users")
            await _all(self._register(user) for user in self.users)
            told("forming groups")
            await _all(self._invite(members) for members in groups)
            await _all(self._join(user) for members in groups for user in members[1:])
            told("logging out")
            await _all(self._leave(user) for user in self.users)
        except LinkEnded as error:
            raise CannotBegin(str(error) or "the link has ended") from error
        except OSError as error:
            raise CannotBegin(str(error) or type(error).__name__) from error

    def _name(self, count: int) -> list[list[User]]:
        """Name all users, in groups of 100; a last one alone goes with those before."""
        tag = secrets.token_hex(3)
        groups: list[list[User]] = [[] for _ in range((count - 2) // GROUP_SIZE + 1)]
        for index in range(count):
            number = min(index // GROUP_SIZE, len(groups) - 1)
            user = User(index, f"simulated user {tag} {index}", f"simulated group {tag} {number}", groups[number])
            self.users.append(user)
            groups[number].append(user)
        return groups

    async def _register(self, user: User) -> None:
        async with self.gate:
            node = self.add_node(user, "")
            node.link = await self.open(self.receiver(node))
            head = await node.link.register(LABEL, user.alias)
        user.uid, node.nodeid = head.uid, head.nodeid

    async def _invite(self, members: list[User]) -> None:
        """Create a group with its first member, who invites the others while nobody else hears of it."""
        first, *others = members
        for other in others:
            await self._ask(first, {"op": 5, "gid": first.gid, "from": first.alias, "to": other.alias})

    async def _join(self, user: User) -> None:
        async with self.gate:
            await self._ask(user, {"op": 6, "act": "join", "gid": user.gid})

    async def _ask(self, user: User, members: dict[str, Any]) -> None:
        link = user.nodes[0].link
        assert link
        head = await link.ask({"id": self.next_id(), **members})
        if head.error:
            raise CannotBegin(head.error)

    async def _leave(self, user: User) -> None:
        node = user.nodes[0]
        assert node.link
        await node.link.log_out()
        node.link = None


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do it all; the first exception ends it."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except BaseExceptionGroup as error:
        raise error.exceptions[0] from error
