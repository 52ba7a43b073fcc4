"""Generate load: users on TLS links, in their own process. Posts are counted and timed, and none may be lost."""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tmtp.client.link import Address, Head, Link, request
from tmtp.simulation.world import User, World

from .measure import Row, Watch

BODY = 400
SETTLE = 20.0  # seconds without a delivery after which missing messages count as lost
Recipients = Callable[[User, int], tuple[list[dict[str, Any]], int]]


@dataclass(frozen=True)
class Target:
    """The server: its address, the certificate to trust (PEM), and its process id."""

    address: Address
    cert: str
    pid: int


class Load:
    """Users, their links, and the posts that have not arrived yet."""

    def __init__(self, target: Target, others: Sequence[Target] = ()) -> None:
        """Use the servers in turn for the links of users. All servers have the same certificate and users."""
        self.target = target
        self._addresses = [one.address for one in (target, *others)]
        self.world = World(target.address, ssl.create_default_context(cadata=target.cert))
        self._filling = b"x" * (BODY - 12)
        self._due: list[float] = []  # when each post was due to be sent, by serial number
        self._left: list[int] = []  # how many of its deliveries have not arrived
        self.reset()

    def reset(self) -> None:
        """Reset all counts to zero."""
        self.acked = self.arrived = self.refused = self.doubled = 0
        self.taken: array[float] = array("d")  # seconds to each delivery
        self.acks_taken: array[float] = array("d")

    @property
    def pending(self) -> int:
        """The number of deliveries that have not arrived."""
        return sum(self._left)

    @property
    def trouble(self) -> str:
        """The faults, as text for the table."""
        counts = {"lost": self.pending, "doubled": self.doubled, "refused": self.refused}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    # links

    def receive(self, link: Link, head: Head, data: bytes) -> None:
        """Count and time a delivery."""
        if head.op != "delivery":
            return
        serial = int(data[:12], 16)
        self._left[serial] -= 1
        self.doubled += self._left[serial] < 0
        self.arrived += 1
        self.taken.append(time.perf_counter() - self._due[serial])

    async def connect(self, users: Iterable[User]) -> None:
        """Log users in, a limited number at a time."""
        await asyncio.gather(*[self._connect(user) for user in users])

    async def _connect(self, user: User) -> None:
        async with self.world.login_slots:
            await self.log_in(user)

    async def log_in(self, user: User) -> None:
        node = user.nodes[0]
        address = self._addresses[user.index % len(self._addresses)]
        node.link = await Link.open(address, self.world.tls, self.receive)
        await node.link.log_in(user.uid, node.nodeid)

    async def disconnect(self, users: Iterable[User]) -> None:
        await asyncio.gather(*[user.nodes[0].link.log_out() for user in users if user.nodes[0].link])

    # posts

    def post(self, user: User, to: tuple[list[dict[str, Any]], int], due: float, then: Callable[[], None]) -> None:
        """Send a post that was due at `due`. `to` is its recipients and the number of their nodes.

        Call `then` when its ack arrives."""
        recipients, copies = to
        serial = len(self._due)
        self._due.append(due)
        self._left.append(copies)

        def done(head: Head) -> None:
            if head.error:
                self.refused += 1
                self._left[serial] = 0
            else:
                self.acked += 1
                self.acks_taken.append(time.perf_counter() - due)
            then()

        link = user.nodes[0].link
        assert link
        frame = request({"op": 7, "id": str(serial), "for": recipients}, b"%012x%b" % (serial, self._filling))
        link.call(str(serial), frame, done)

    async def closed_loop(self, senders: list[User], to: Recipients, last: float, most: int = 1 << 62) -> None:
        """Let every sender post again as soon as it has its ack, until the time `last` or `most` posts in all."""
        loop = asyncio.get_running_loop()
        working = len(senders)
        finished = loop.create_future()
        sent = 0

        def again(user: User) -> None:
            nonlocal working, sent
            now = time.perf_counter()
            if now < last and sent < most:
                sent += 1
                self.post(user, to(user, sent), now, lambda: again(user))
            else:
                working -= 1
                if not working:
                    finished.set_result(None)

        for user in senders:
            again(user)
        await finished

    async def open_loop(self, senders: list[User], to: Recipients, rate: float, seconds: float) -> None:
        """Send posts at a constant rate, however fast the server is. Each is timed from when it was due."""
        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            if due > time.perf_counter():
                await asyncio.sleep(max(due - time.perf_counter(), 0.002))
            self.post(senders[number % len(senders)], to(senders[number % len(senders)], number), due, _nothing)

    async def settle(self, patience: float = SETTLE) -> None:
        """Wait until everything has arrived, or nothing arrives for `patience` seconds."""
        last, since = -1, time.perf_counter()
        while self.pending and time.perf_counter() - since < patience:
            if self.arrived != last:
                last, since = self.arrived, time.perf_counter()
            await asyncio.sleep(0.01)

    async def measured(self, name: str, work: Any, seconds: float | None = None) -> Row:
        """Await a workload, then wait until everything has arrived. The rates are those of the workload alone."""
        self.reset()
        watch = Watch(self.target.pid)
        await work
        row = watch.row(name, self.acked, self.arrived, self.taken)
        await self.settle()
        whole = watch.row(name, self.acked, self.arrived, self.taken, self.trouble)
        row.latencies, row.cpu, row.memory, row.note = whole.latencies, whole.cpu, whole.memory, whole.note
        return row


def _nothing() -> None:
    pass
