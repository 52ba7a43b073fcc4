"""The simulated users with their nodes and groups, which are registered over links as by any other client."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..client.link import Address, Head, Link, LinkEnded
from .ledger import Ledger

AT_ONCE = 50  # links that log in at the same time, since a login must end within LOGIN_TIMEOUT
GROUP_SIZE = 100
LABEL = "simulated"


class CannotBegin(Exception):
    """The users could not be registered."""


@dataclass(eq=False)
class Node:
    """One device. `first_serial` is the serial number of the last post before it was added."""

    key: int
    nodeid: str
    user: User
    first_serial: int = 0
    link: Link | None = None


@dataclass(eq=False)
class User:
    index: int
    alias: str
    gid: str
    group: list[User]  # all members of the group, including this user
    uid: str = ""
    nodes: list[Node] = field(default_factory=list)


@dataclass
class World:
    """All users. `ledger` checks each delivery; `on_user` is called with the message about a new node."""

    address: Address
    tls: ssl.SSLContext | None
    ledger: Ledger = field(default_factory=Ledger)
    users: list[User] = field(default_factory=list)
    others: int = 0  # messages other than posts and pings
    serial: int = 0  # of the last request
    keys: int = 0  # the key of the last node
    on_user: Callable[[Node, Head], None] = lambda node, head: None

    def __post_init__(self) -> None:
        self.login_slots = asyncio.Semaphore(AT_ONCE)

    def next_id(self) -> str:
        """Return a new id for a request."""
        self.serial += 1
        return str(self.serial)

    def add_node(self, user: User, nodeid: str) -> Node:
        """Add a node to a user."""
        self.keys += 1
        node = Node(self.keys, nodeid, user, self.ledger.posted)
        user.nodes.append(node)
        return node

    async def open(self, receive: Callable[[Link, Head, bytes], None]) -> Link:
        """Open a link. Raise LinkEnded, OSError or TimeoutError."""
        return await Link.open(self.address, self.tls, receive)

    async def log_in(self, node: Node) -> Link:
        """Connect a node and log it in. Raise LinkEnded, OSError or TimeoutError."""
        async with self.login_slots:
            link = await self.open(self.receiver(node))
            await link.log_in(node.user.uid, node.nodeid)
        node.link = link
        return link

    def receiver(self, node: Node) -> Callable[[Link, Head, bytes], None]:
        """Return the function that handles messages for a node."""
        ledger, kinds = self.ledger, {"delivery", "ping"}

        def receive(link: Link, head: Head, data: bytes) -> None:
            if head.op in kinds:
                ledger.arrive(node.key, node.first_serial, head, data, link.acknowledges)
            else:
                self.others += 1
                if head.nodeid:
                    self.on_user(node, head)

        return receive

    # registration, before the simulation begins

    async def populate(self, count: int, progress: Callable[[str], None]) -> None:
        """Register users and form their groups. Raise CannotBegin. `progress` is called with each phase."""
        groups = self._name(count)
        try:
            progress("registering users")
            await _all(self._register(user) for user in self.users)
            progress("forming groups")
            await _all(self._invite(members) for members in groups)
            await _all(self._join(user) for members in groups for user in members[1:])
            progress("logging out")
            await _all(self._leave(user) for user in self.users)
        except LinkEnded as error:
            raise CannotBegin(str(error)) from error
        except OSError as error:
            raise CannotBegin(str(error) or type(error).__name__) from error

    def _name(self, count: int) -> list[list[User]]:
        """Name all users, in groups of 100. A single user that is left joins the last group."""
        tag = secrets.token_hex(3)
        groups: list[list[User]] = [[] for _ in range((count - 2) // GROUP_SIZE + 1)]
        for index in range(count):
            number = min(index // GROUP_SIZE, len(groups) - 1)
            user = User(index, f"simulated user {tag} {index}", f"simulated group {tag} {number}", groups[number])
            self.users.append(user)
            groups[number].append(user)
        return groups

    async def _register(self, user: User) -> None:
        async with self.login_slots:
            node = self.add_node(user, "")
            node.link = await self.open(self.receiver(node))
            head = await node.link.register(LABEL, user.alias)
        user.uid, node.nodeid = head.uid, head.nodeid

    async def _invite(self, members: list[User]) -> None:
        """Let the first member create the group and invite the others. No one has joined, so no one is notified."""
        first, *others = members
        for other in others:
            await self._ask(first, {"op": 5, "gid": first.gid, "from": first.alias, "to": other.alias})

    async def _join(self, user: User) -> None:
        async with self.login_slots:
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
    """Run all coroutines concurrently. Raise the first exception, after cancelling the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except BaseExceptionGroup as error:
        raise error.exceptions[0] from error
