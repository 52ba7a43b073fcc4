"""A simulated client, which repeats a cycle of nineteen steps with a pause before each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..client.link import Head, Link, LinkEnded
from .ledger import Post, rng
from .world import Node, User, World

SIZES = (80, 80, 80, 80, 400, 400, 2000, 2000, 10_000, 50_000, 250_000)
POSTS = 15
PRESENCE = 100  # uids in op 4
PAUSE = (1.0, 30.0)  # seconds
PING_OCTETS = 80
NODE_CHANCE = 0.05  # of adding a second node, in each cycle
NODES_MAX = 2
TO_USER, TO_GROUP, TO_GROUP_WITHOUT_ME = 1, 2, 3
Step = Callable[[], Any]


class Stopped(Exception):
    """The simulation has ended."""


@dataclass
class Run:
    """What all clients of a simulation share."""

    world: World
    speedup: float = 1.0
    cycles: int | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    counts: Counter[str] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    busy: int = 0  # clients that have not finished their cycles

    def __post_init__(self) -> None:
        self.world.on_user = self._new_node

    def begin(self) -> None:
        """Start the clients of all users."""
        for user in self.world.users:
            self._start(user.nodes[0])

    def _start(self, node: Node) -> None:
        self.busy += 1
        self.tasks.append(asyncio.ensure_future(SimulatedClient(self, node).run_cycles()))

    def _new_node(self, node: Node, head: Head) -> None:
        """Start a client for a user's new node, when the first of the user's other nodes hears of it."""
        if node.nodeid != head.nodeid and all(other.nodeid != head.nodeid for other in node.user.nodes):
            self.counts["nodes added"] += 1
            self._start(self.world.add_node(node.user, head.nodeid))


class SimulatedClient:
    """The client of one node."""

    def __init__(self, run: Run, node: Node) -> None:
        self.run, self.node = run, node
        self.world, self.user = run.world, node.user

    async def run_cycles(self) -> None:
        """Repeat the cycle as often as the run asks for, then stay connected and receive what still arrives."""
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
        """Run all steps. Return False if the link was lost."""
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
        if len(self.user.nodes) < NODES_MAX and rng.random() < NODE_CHANCE:
            yield self._add_node
        yield self._log_out

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(rng.uniform(*PAUSE) / self.run.speedup):
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
        others = rng.sample([user for user in self._candidates() if user is not self.user], k=self._fan())
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
        """Return three random users, among whom are two recipients other than the client's own user."""
        return rng.sample(self.world.users, k=min(3, len(self.world.users)))

    def _fan(self) -> int:
        return min(2, len(self.world.users) - 1)

    def _nodes(self, users: list[User]) -> set[int]:
        return {node.key for user in users for node in user.nodes}

    # sending

    async def _post(self, recipients: list[dict[str, Any]], due: set[int]) -> None:
        await self._send({"op": 7, "for": recipients}, rng.choice(SIZES), due)

    async def _send(self, members: dict[str, Any], size: int, due: set[int]) -> None:
        """Send a post or ping, wait for its ack, and record both."""
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
        self.world.ledger.unreliable.add(self.node.key)
        if self.node.link:
            self.node.link.abort()
            self.node.link = None

    async def _stay(self) -> None:
        """Stay connected until the task is cancelled. Reconnect if the link is lost."""
        while True:
            try:
                if self.node.link is None:
                    await self.world.log_in(self.node)
                await asyncio.wait((self._link().ended,))
            except (LinkEnded, OSError):
                pass
            self._abort()
            await asyncio.sleep(0.2)
