"""What was sent, and whether it arrives: each delivery is checked against it.

A body tells its own number and checksum, so what comes is known at once, also before the sender has its ack. A post
is forgotten when it has arrived everywhere; what is left at the end is lost. All figures are counts and octets.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from dataclasses import dataclass, field

import google_crc32c

from .link import Head

PREFIX = 20  # octets: twelve hex digits of the serial, eight of the checksum
POOL_OCTETS = 1_000_000
NodeKey = int
dice = random.Random()  # noqa: S311 (no secrets here)


@dataclass(slots=True)
class Post:
    """One post or ping. `due` are the nodes it has not come to; `unacked` have it, but could not say so."""

    sender: str
    octets: int
    due: set[NodeKey]
    unacked: set[NodeKey] = field(default_factory=set)
    msgid: str = ""
    acked: bool = False


@dataclass
class Ledger:
    """All posts under way, and counts of what became of the others. `faults` is empty when all is well."""

    posted: int = 0
    acked: int = 0
    arrived: int = 0
    arrived_octets: int = 0
    again: int = 0  # redelivered, as it was not acknowledged
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    shaky: set[NodeKey] = field(default_factory=set)  # nodes whose links broke: acks may be lost
    posts: dict[int, Post] = field(default_factory=dict)
    _early: set[tuple[NodeKey, int]] = field(default_factory=set)  # what new nodes found in their queue
    _pool: bytes = field(default_factory=lambda: bytes(dice.choices(string.ascii_letters.encode(), k=POOL_OCTETS)))

    def write(self, sender: str, size: int, due: set[NodeKey]) -> tuple[int, bytes]:
        """A new post for these nodes: its serial number, and its body of `size` octets (20 or more)."""
        self.posted += 1
        serial = self.posted
        start = dice.randrange(POOL_OCTETS - size)
        filling = self._pool[start : start + size - PREFIX]
        self.posts[serial] = Post(sender, size, due)
        return serial, b"%012x%08x%b" % (serial, _checksum(serial, filling), filling)

    def acknowledge(self, serial: int, post: Post, head: Head) -> None:
        """The server has answered a post."""
        if head.error:
            self.fault("refused", f"a post was refused: {head.error}")
            self.posts.pop(serial, None)
            return
        self.acked += 1
        post.acked = True
        if post.msgid and post.msgid != head.msgid:
            self.fault("altered", f"the ack says msgid {head.msgid}, the delivery {post.msgid}")
        post.msgid = head.msgid

    def arrive(self, node: NodeKey, born: int, head: Head, body: bytes, acknowledges: bool) -> None:
        """A message has come to a node that is there since serial `born`."""
        serial = self._read(body)
        if serial is None or serial > self.posted:
            self.fault("altered", f"message {head.id} is not what anyone sent")
            return
        self.arrived += 1
        self.arrived_octets += len(body)
        post = self.posts.get(serial)
        if post and not self._fits(post, head, body):
            self.fault("altered", f"message {head.id} has another sender, size or msgid than it was sent with")
        if serial <= born:
            self._come_early(node, serial, acknowledges)
        elif post and (node in post.due or node in post.unacked):
            self._come(node, serial, post, acknowledges)
        elif node in self.shaky:
            self.again += 1
        else:
            self.fault("doubled or misrouted", f"message {head.id} came to a node that has it, or should not")

    def _come(self, node: NodeKey, serial: int, post: Post, acknowledges: bool) -> None:
        self.again += node in post.unacked
        post.due.discard(node)
        if acknowledges:
            post.unacked.discard(node)
        else:
            post.unacked.add(node)
        if not post.due and not post.unacked:
            del self.posts[serial]

    def _come_early(self, node: NodeKey, serial: int, acknowledges: bool) -> None:
        """What was sent before a node was there may come to it, once: its queue began as a copy."""
        if (node, serial) in self._early:
            self.fault("doubled or misrouted", f"post {serial} came twice to a new node")
        if acknowledges:
            self._early.add((node, serial))

    @staticmethod
    def _fits(post: Post, head: Head, body: bytes) -> bool:
        post.msgid = post.msgid or head.id
        return (post.sender, post.octets, post.msgid) == (head.from_, len(body), head.id)

    @staticmethod
    def _read(body: bytes) -> int | None:
        """The serial number of an unaltered body."""
        try:
            serial, checksum = int(body[:12], 16), int(body[12:PREFIX], 16)
        except ValueError:
            return None
        return serial if checksum == _checksum(serial, body[PREFIX:]) else None

    def fault(self, kind: str, example: str) -> None:
        """Something is wrong."""
        self.faults[kind] += 1
        if len(self.examples) < 10:
            self.examples.append(example)

    @property
    def due(self) -> int:
        """Deliveries of acknowledged posts that have not come yet."""
        return sum(len(post.due) for post in self.posts.values() if post.acked)


def _checksum(serial: int, filling: bytes) -> int:
    return int(google_crc32c.extend(serial, filling))
