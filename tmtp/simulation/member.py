"""A simulated client: nineteen steps in a circle, a pause before each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .ledger import Post, dice
from .link import Head, Link, LinkEnded
from .world import Node, User, World

SIZES = (80, 80, 80, 80, 400, 400, 2000, 2000, 10_000, 50_000, 250_000)
POSTS = 15
PRESENCE = 100  # uids to announce oneself to
PAUSE = (1.0, 30.0)
PING_OCTETS = 80
NODE_CHANCE = 0.05  # in each cycle, for those with one node
NODES_MAX = 2
TO_USER, TO_GROUP, TO_GROUP_WITHOUT_ME = 1, 2, 3
Step = Callable[[], Any]


class Stopped(Exception):
    """The simulation is over."""


@dataclass
class Run:
    """What all members share."""

    world: World
    speedup: float = 1.0
    cycles: int | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    counts: Counter[str] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    busy: int = 0  # members who still go through their cycles

    def __post_init__(self) -> None:
        self.world.on_user = self._new_node

    def begin(self) -> None:
        """Let everyone begin."""
        for user in self.world.users:
            self._start(user.nodes[0])

    def _start(self, node: Node) -> None:
        self.busy += 1
        self.tasks.append(asyncio.ensure_future(Member(self, node).live()))

    def _new_node(self, node: Node, head: Head) -> None:
        """A member hears of a node of theirs; the first to hear starts it."""
        if node.nodeid != head.nodeid and all(other.nodeid != head.nodeid for other in node.user.nodes):
            self.counts["nodes added"] += 1
            self._start(self.world.add_node(node.user, head.nodeid))


class Member:
    """One node's life."""

    def __init__(self, run: Run, node: Node) -> None:
        self.run, self.node = run, node
        self.world, self.user = run.world, node.user

    async def live(self) -> None:
        """Go through the cycle until there are enough, then stay and receive what is still to come."""
        done = 0
        try:
            while self.run.cycles is None or done < self.run.cycles:
                if await self._cycle():
                    done += 1
        except Stopped:
            pass
        finally:
            self.run.busy -= 1
        await self._stay()

    async def _cycle(self) -> bool:
        """All steps; False when the link was lost on the way."""
        try:
            for step in self._steps():
                await self._pause()
                await step()
        except (LinkEnded, OSError) as error:
            self.run.counts[f"links lost: {error or type(error).__name__}"] += 1
            self._abort()
            return False
        self.run.counts["cycles"] += 1
        return True

    def _steps(self) -> Iterator[Step]:
        yield self._log_in
        yield self._announce
        if self.user.index % 2:
            yield self._ping
        for _ in range(POSTS):
            yield self._post_to_users
        yield lambda: self._post_to_group(TO_GROUP)
        yield lambda: self._post_to_group(TO_GROUP_WITHOUT_ME)
        if len(self.user.nodes) < NODES_MAX and dice.random() < NODE_CHANCE:
            yield self._add_node
        yield self._log_out

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(dice.uniform(*PAUSE) / self.run.speedup):
                await self.run.stop.wait()
        except TimeoutError:
            return
        raise Stopped

    # the steps

    async def _log_in(self) -> None:
        await self.world.log_in(self.node)
        self.run.counts["logins"] += 1

    async def _announce(self) -> None:
        others = [{"id": user.uid} for user in self.user.group[:PRESENCE]]
        await self._ask({"op": 4, "type": "init", "for": others})

    async def _ping(self) -> None:
        other = self.world.users[self.user.index - 1]
        due = self._nodes([other, self.user]) - {self.node.key}
        await self._send({"op": 9, "from": self.user.alias, "to": other.alias}, PING_OCTETS, due)

    async def _post_to_users(self) -> None:
        others = dice.sample([user for user in self._candidates() if user is not self.user], k=self._fan())
        due = self._nodes([*others, self.user]) - {self.node.key}
        await self._post([{"id": other.uid, "type": TO_USER} for other in others], due)

    async def _post_to_group(self, kind: int) -> None:
        due = self._nodes(self.user.group)
        if kind == TO_GROUP_WITHOUT_ME:
            due -= {self.node.key}
        await self._post([{"id": self.user.gid, "type": kind}], due)

    async def _add_node(self) -> None:
        await self._ask({"op": 3, "newnode": "added"})

    async def _log_out(self) -> None:
        link, self.node.link = self._link(), None
        await link.log_out()

    def _candidates(self) -> list[User]:
        """Some users to choose recipients from; three are enough for two who are not oneself."""
        return dice.sample(self.world.users, k=min(3, len(self.world.users)))

    def _fan(self) -> int:
        return min(2, len(self.world.users) - 1)

    def _nodes(self, users: list[User]) -> set[int]:
        return {node.key for user in users for node in user.nodes}

    # how they are sent

    async def _post(self, recipients: list[dict[str, Any]], due: set[int]) -> None:
        await self._send({"op": 7, "for": recipients}, dice.choice(SIZES), due)

    async def _send(self, members: dict[str, Any], size: int, due: set[int]) -> None:
        """Send a post or ping, and wait for its ack."""
        ledger = self.world.ledger
        serial, body = ledger.write(self.user.uid, size, due)
        post: Post = ledger.posts[serial]
        head = await self._link().ask({"id": self.world.next_id(), **members}, body)
        ledger.acknowledge(serial, post, head)

    async def _ask(self, members: dict[str, Any]) -> None:
        head = await self._link().ask({"id": self.world.next_id(), **members})
        if head.error:
            self.world.ledger.fault("refused", f"op {members['op']} was refused: {head.error}")

    def _link(self) -> Link:
        if self.node.link is None:
            raise LinkEnded("not logged in")
        return self.node.link

    def _abort(self) -> None:
        self.world.ledger.shaky.add(self.node.key)
        if self.node.link:
            self.node.link.abort()
            self.node.link = None

    async def _stay(self) -> None:
        """Be there until the end, and come back when the link is lost."""
        while True:
            try:
                if self.node.link is None:
                    await self.world.log_in(self.node)
                await asyncio.wait((self._link().ended,))
            except (LinkEnded, OSError):
                pass
            self._abort()
            await asyncio.sleep(0.2)
