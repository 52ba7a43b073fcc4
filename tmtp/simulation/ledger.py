"""Record each post, and check each delivery against that record.

A body begins with its serial number and checksum, so a delivery can be checked even before the sender has its ack. A
post is removed once it has arrived at all its nodes; posts that are left at the end are lost.
"""

from __future__ import annotations

import random
import string
from collections import Counter
from dataclasses import dataclass, field

import google_crc32c

from ..client.link import Head

PREFIX = 20  # octets: twelve hex digits of the serial number, eight of the checksum
POOL_OCTETS = 1_000_000
NodeKey = int
rng = random.Random()  # noqa: S311 (not for secrets)


@dataclass(slots=True)
class Post:
    """One post or ping. `due` are the nodes it has not reached; `unacked` received it but could not acknowledge it."""

    sender: str
    octets: int
    due: set[NodeKey]
    unacked: set[NodeKey] = field(default_factory=set)
    msgid: str = ""
    acked: bool = False


@dataclass
class Ledger:
    """The posts that have not arrived everywhere, and counts of the others. `faults` is empty if all is well."""

    posted: int = 0
    acked: int = 0
    arrived: int = 0
    arrived_octets: int = 0
    again: int = 0  # redeliveries of unacknowledged messages
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    unreliable: set[NodeKey] = field(default_factory=set)  # nodes whose links broke, so that acks may be lost
    posts: dict[int, Post] = field(default_factory=dict)
    _early: set[tuple[NodeKey, int]] = field(default_factory=set)  # posts older than the node they arrived at
    _pool: bytes = field(default_factory=lambda: bytes(rng.choices(string.ascii_letters.encode(), k=POOL_OCTETS)))

    def write(self, sender: str, size: int, due: set[NodeKey]) -> tuple[int, bytes]:
        """Record a new post for these nodes. Return its serial number and a body of `size` octets (20 or more)."""
        self.posted += 1
        serial = self.posted
        start = rng.randrange(POOL_OCTETS - size)
        filling = self._pool[start : start + size - PREFIX]
        self.posts[serial] = Post(sender, size, due)
        return serial, b"%012x%08x%b" % (serial, _checksum(serial, filling), filling)

    def acknowledge(self, serial: int, post: Post, head: Head) -> None:
        """Record the server's ack of a post."""
        if head.error:
            self.fault("refused", f"a post was refused: {head.error}")
            self.posts.pop(serial, None)
            return
        self.acked += 1
        post.acked = True
        if post.msgid and post.msgid != head.msgid:
            self.fault("altered", f"the ack says msgid {head.msgid}, the delivery {post.msgid}")
        post.msgid = head.msgid

    def arrive(self, node: NodeKey, first_serial: int, head: Head, body: bytes, acknowledges: bool) -> None:
        """Check a message that arrived at a node, which exists since post `first_serial`."""
        serial = self._read(body)
        if serial is None or serial > self.posted:
            self.fault("altered", f"message {head.id} is not what anyone sent")
            return
        self.arrived += 1
        self.arrived_octets += len(body)
        post = self.posts.get(serial)
        if post and not self._fits(post, head, body):
            self.fault("altered", f"message {head.id} has another sender, size or msgid than it was sent with")
        if serial <= first_serial:
            self._arrive_early(node, serial, acknowledges)
        elif post and (node in post.due or node in post.unacked):
            self._arrive_due(node, serial, post, acknowledges)
        elif node in self.unreliable:
            self.again += 1
        else:
            self.fault("doubled or misrouted", f"message {head.id} came to a node that has it, or should not")

    def _arrive_due(self, node: NodeKey, serial: int, post: Post, acknowledges: bool) -> None:
        self.again += node in post.unacked
        post.due.discard(node)
        if acknowledges:
            post.unacked.discard(node)
        else:
            post.unacked.add(node)
        if not post.due and not post.unacked:
            del self.posts[serial]

    def _arrive_early(self, node: NodeKey, serial: int, acknowledges: bool) -> None:
        """Check a post that is older than the node. It may arrive once: a new queue begins as a copy of another."""
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
        """Return the serial number in a body, or None if the body was altered."""
        try:
            serial, checksum = int(body[:12], 16), int(body[12:PREFIX], 16)
        except ValueError:
            return None
        return serial if checksum == _checksum(serial, body[PREFIX:]) else None

    def fault(self, kind: str, example: str) -> None:
        """Count a fault, and keep the first examples of all."""
        self.faults[kind] += 1
        if len(self.examples) < 10:
            self.examples.append(example)

    @property
    def due(self) -> int:
        """The number of deliveries of acknowledged posts that have not arrived."""
        return sum(len(post.due) for post in self.posts.values() if post.acked)


def _checksum(serial: int, filling: bytes) -> int:
    return int(google_crc32c.extend(serial, filling))
