"""A ledger of what clients have sent and received, and a check that the service has kept its promises.

A `Device` posts and acknowledges over whatever link it has, logs in again when that is lost, and sends again, with the
same id, what was not acknowledged. The ledger checks these promises:

- a post that was acknowledged reaches every device it was for, unchanged, as one message;
- a post that was not answered reaches all or none of them, and one that was refused none;
- nothing arrives that was not sent;
- a device receives a message twice only when the service cannot know that it was stored: over another link, and
  before the answer to anything that the device asked for after it had acknowledged the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .processes import until
from .raw_client import Client, LoginRefused
from .servers import Server

PATIENCE = 60.0


@dataclass(eq=False)
class Posted:
    """A post, and the devices that have received it."""

    body: bytes
    sender: Device
    to: list[Device]
    msgid: str = ""
    refused: str = ""
    tries: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether the service has answered."""
        return bool(self.msgid or self.refused)


@dataclass
class Ledger:
    """All posts of a run, by their bodies, which are unique."""

    posts: dict[bytes, Posted] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    from_site: list[bytes] = field(
        default_factory=list
    )  # pieces of messages that each device gets from the site, once

    @property
    def acked(self) -> list[Posted]:
        """The posts that the service has acknowledged."""
        return [post for post in self.posts.values() if post.msgid]

    def check(self, devices: list[Device]) -> None:
        """Raise AssertionError unless the service has kept its promises."""
        for device in devices:
            self._check_site(device)
            for msgid, body in device.received.items():
                if any(piece in body for piece in self.from_site):
                    continue
                post = self.posts.get(body)
                if post is None or device not in post.to:
                    self.wrong.append(f"{device.name} received {msgid}, which nobody sent there")
                elif (post.is_answered or post.tries > 1) and post.msgid != msgid:
                    self.wrong.append(f"{device.name} received {msgid}, its sender was told {post.msgid!r}")
            bodies = Counter(device.received.values())
            self.wrong += [
                f"{device.name} received {body[:20]!r} as {n} messages" for body, n in bodies.items() if n > 1
            ]
        for post in self.acked:
            missing = [device.name for device in post.to if device.received.get(post.msgid) != post.body]
            if missing:
                self.wrong.append(f"{post.body[:20]!r} ({post.msgid}) did not reach {missing}")
        for post in self.posts.values():
            reached = [post.body in device.received.values() for device in post.to]
            if not post.is_answered and any(reached) and not all(reached):
                self.wrong.append(f"{post.body[:20]!r} was not answered, and reached only some")
        self.check_wrong()

    def _check_site(self, device: Device) -> None:
        for piece in self.from_site:
            count = sum(piece in body for body in device.received.values())
            if count != 1:
                self.wrong.append(f"{device.name} received {piece!r} from the site {count} times")

    def check_wrong(self) -> None:
        """Raise AssertionError if anything is wrong so far."""
        assert not self.wrong, f"{len(self.wrong)} wrong:\n" + "\n".join(self.wrong[:20])


class Device:
    """A node, and the messages that it has stored."""

    def __init__(self, name: str, server: Server, ledger: Ledger) -> None:
        self.name = name
        self.server = server
        self.ledger = ledger
        self.uid = self.nodeid = ""
        self.received: dict[str, bytes] = {}
        self.again = 0  # how many messages arrived twice
        self.errors: list[str] = []  # acks with an error
        self.links = 0
        self._client: Client | None = None
        self._over: dict[str, int] = {}  # the link over which each message arrived
        self._acked_here: list[str] = []  # the messages that were acknowledged over this link
        self._settled: set[str] = set()  # the messages that the service knows to be stored
        self._waiting: dict[str, tuple[Posted, asyncio.Future[None], int]] = {}  # requests, by id
        self._online = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Register, and stay connected until `leave`."""
        self._client = await self.server.register()
        self.uid, self.nodeid = self._client.uid, self._client.nodeid
        self.come_back()

    def come_back(self) -> None:
        """Log in again after `leave`, and stay connected."""
        self._task = asyncio.create_task(self._stay())

    def stop_reading(self) -> None:
        """Read nothing more over this link."""
        if self._client:
            self._client.writer.transport.pause_reading()

    def cut(self) -> None:
        """Cut the link, and come back."""
        if self._client:
            self._client.close()

    async def leave(self) -> None:
        """Disconnect."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)  # so that its error, if any, is not logged
        if self._client:
            self._client.close()
            self._client = None
        self._online.clear()

    async def post(self, number: int, to: list[Device], size: int = 100) -> Posted:
        """Post a message and wait for its ack, over as many links as it takes."""
        body = f"{self.name} {number} ".encode() + random.randbytes(size)
        post = self.ledger.posts[body] = Posted(body, self, to)
        answered = asyncio.get_running_loop().create_future()
        request_id = f"{self.name}-{number}"
        self._waiting[request_id] = post, answered, 0
        if self._online.is_set():
            self._send(request_id)
        await answered
        return post

    async def _stay(self) -> None:
        while True:
            if self._client is None:
                self._client = await self._log_in()
            self.links += 1
            self._acked_here = []
            self._online.set()
            for request_id in list(self._waiting):
                self._send(request_id)
            try:
                while True:
                    self._take(*await self._client.receive(600))
            except (OSError, asyncio.IncompleteReadError):
                self._online.clear()
                self._client.close()
                self._client = None

    async def _log_in(self) -> Client:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.server.login(self.uid, self.nodeid)
                except LoginRefused as refused:
                    if str(refused) != "node already connected":
                        self.ledger.wrong.append(f"{self.name} is not let in any more: {refused}")
                        raise
                except (OSError, asyncio.IncompleteReadError):
                    pass  # the server is not running
                await asyncio.sleep(0.05)

    def _send(self, request_id: str) -> None:
        assert self._client
        post, answered, _ = self._waiting[request_id]
        post.tries += 1
        self._waiting[request_id] = post, answered, len(self._acked_here)
        with contextlib.suppress(OSError):  # it is sent again over the next link
            self._client.post(request_id, [device.uid for device in post.to], post.body)

    def _take(self, header: dict[str, object], data: bytes) -> None:
        if header["op"] == "ack":
            self._answered(header)
        elif header["op"] == "delivery":
            self._store(str(header["id"]), data)
        if "from" in header and "id" in header:
            assert self._client
            self._client.acknowledge(str(header["id"]))
            self._acked_here.append(str(header["id"]))

    def _answered(self, header: dict[str, object]) -> None:
        waiting = self._waiting.pop(str(header["id"]), None)
        if waiting is None:
            self.ledger.wrong.append(f"{self.name} got an ack for {header['id']!r}, which it does not wait for")
            return
        post, answered, acked_before = waiting
        post.msgid, post.refused = str(header.get("msgid", "")), str(header.get("error", ""))
        self._settled.update(self._acked_here[:acked_before])
        if not answered.done():
            answered.set_result(None)

    def _store(self, msgid: str, data: bytes) -> None:
        if msgid in self.received:
            self.again += 1
            if self._over[msgid] == self.links:
                self.ledger.wrong.append(f"{self.name} received {msgid} twice over one link")
            if msgid in self._settled:
                self.ledger.wrong.append(f"{self.name} received {msgid} again although its ack was taken")
            if self.received[msgid] != data:
                self.ledger.wrong.append(f"{self.name} received two different {msgid}")
        self.received[msgid] = data
        self._over[msgid] = self.links


class Crowd:
    """Devices that post to each other until `finish`. They are spread over `server` and `also`."""

    def __init__(
        self,
        server: Server,
        size: int,
        fan_out: int = 2,
        at_once: int = 2,
        sizes: Sequence[int] = (0, 100, 100, 400, 3000),
        patience: float = PATIENCE,
        pause: float = 0,
        also: Sequence[Server] = (),
    ) -> None:
        self.ledger = Ledger()
        servers = itertools.cycle([server, *also])
        self.devices = [Device(f"d{index}", next(servers), self.ledger) for index in range(size)]
        self._fan_out, self._at_once, self._sizes = fan_out, at_once, sizes
        self._patience, self._pause = patience, pause
        self._go_on = True
        self._posting: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Register all devices, and let them post."""
        await asyncio.gather(*[device.join() for device in self.devices])
        for device in self.devices:
            for lane in range(self._at_once):
                self._posting.append(asyncio.create_task(self._post(device, lane)))

    async def more(self, acks: int) -> None:
        """Wait for so many more acks."""
        enough = len(self.ledger.acked) + acks
        with self._or_else("no more posts were acknowledged"):
            await until(lambda: len(self.ledger.acked) >= enough or bool(self.ledger.wrong), self._patience)

    async def finish(self) -> Ledger:
        """Stop posting, wait until all is acknowledged and delivered, check the ledger, and return it."""
        self._go_on = False
        try:
            with self._or_else("some posts were not answered"):
                await until(
                    lambda: all(task.done() for task in self._posting) or bool(self.ledger.wrong), self._patience
                )
            with contextlib.suppress(AssertionError):  # the ledger then says what is missing
                await until(lambda: self._all_delivered() or bool(self.ledger.wrong), self._patience)
        finally:
            await self.leave()
        self.ledger.check(self.devices)
        return self.ledger

    async def leave(self) -> None:
        """Disconnect all devices."""
        for task in self._posting:
            task.cancel()
        for device in self.devices:
            await device.leave()

    @contextlib.contextmanager
    def _or_else(self, what: str) -> Iterator[None]:
        """Note what is wrong if it takes too long. Raise AssertionError if anything is."""
        try:
            yield
        except AssertionError:
            self.ledger.wrong.append(what)
        self.ledger.check_wrong()

    def _all_answered(self) -> bool:
        return all(task.done() for task in self._posting)

    def _all_delivered(self) -> bool:
        if not all(post.msgid in device.received for post in self.ledger.acked for device in post.to):
            return False
        return all(
            any(piece in body for body in device.received.values())
            for piece in self.ledger.from_site
            for device in self.devices
        )

    async def _post(self, device: Device, lane: int) -> None:
        number = lane
        while self._go_on:
            others = [other for other in self.devices if other is not device]
            size = random.choice(self._sizes)
            await device.post(number, random.sample(others, self._fan_out), size)
            number += self._at_once
            await asyncio.sleep(self._pause)
