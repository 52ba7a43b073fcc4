"""Fan-out of posts to many nodes, in several transactions, so that other requests need not wait. It is all or nothing.

The queue entries are written first, some in each transaction. The last transaction writes the message and the receipt.
Until then nobody sees the post, since queues are read together with their messages. A crash or an error leaves entries
without a message, which are swept later (services.messages.sweeping).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..errors import Refused
from ..queue.batch import Batch
from ..queue.queue import Outgoing, discard_on_commit, publish
from ..queue.receipts import Receipts
from ..storage import sql
from ..storage.clock import clock
from ..storage.spool import Spooled

AT_ONCE = 250  # entries in one transaction
PATIENCE = 300 * 1_000_000_000  # nanoseconds that a post may take; after twice that, its entries are swept
LATE = PATIENCE + 30 * 1_000_000_000  # nanoseconds by which a message may be older than one committed before it


Entry = tuple[int, int, int]  # node id, rank, number


class Share(NamedTuple):
    """The joined members of a group that a message is for, except the user `without`, if any (ids)."""

    message: Outgoing
    group: int
    without: int | None


def pages_of(messages: Iterable[Outgoing]) -> tuple[list[Entry], ...]:
    """Return the entries of messages for their nodes, AT_ONCE in each page."""
    entries = [(node, message.rank, message.number) for message in messages for node in message.nodes]
    return tuple(entries[start : start + AT_ONCE] for start in range(0, len(entries), AT_ONCE))


@dataclass(frozen=True, slots=True)
class Fanout:
    """A post to many nodes, and how far it has been written. It is immutable, so that a step can be repeated.

    The `nodes` of `messages` are those of users that the post names. Still to be written are the entries in `pages`,
    for these nodes, and those for the members of the groups in `shares`.
    """

    messages: Sequence[Outgoing]
    pages: tuple[list[Entry], ...]  # of at most AT_ONCE entries; all but the last are full
    shares: tuple[Share, ...]
    sender_node: int | None
    digest: bytes  # of the request, see services.queue.receipts
    newest: int  # the highest node id when the post began
    after: tuple[int, int] = (0, 0)  # the user and node up to which the first share is written
    written: tuple[Any, ...] = ()  # a linked list: (message, its nodes, the rest)

    def step(self, *, batch: Batch | None = None) -> Fanout | int:
        """Write the next entries, in the caller's transaction. Return the rest of the fan-out.

        The last step returns the message's number. Raise Refused if the post has taken too long.
        """
        entries = self.pages[0] if self.pages else []
        sql.add_missing_entries(entries)
        limit = AT_ONCE - len(entries)
        if not limit:
            return replace(self, pages=self.pages[1:])
        if not self.shares:
            return self._finish(batch)
        message, group, without = self.shares[0]
        page = sql.nodes_of_group(group, self.after, limit)
        nodes = [node for user, node in page if user != without]
        sql.add_missing_entries([(node, message.rank, message.number) for node in nodes])
        written = (message, nodes, self.written)
        if len(page) == limit:
            return replace(self, pages=(), after=page[-1], written=written)
        return replace(self, pages=(), shares=self.shares[1:], after=(0, 0), written=written)

    def _finish(self, batch: Batch | None) -> int:
        """Write the messages and the receipt, unless the same request was finished over another link meanwhile."""
        receipts = Receipts([(self.sender_node, self.digest)])
        number = self.messages[0].number
        known = receipts.number(self.sender_node, self.digest)
        if known:
            self._discard(self.messages)
            return known
        if clock.now() - number > PATIENCE:
            self._discard(self.messages)
            raise Refused("took_too_long")
        for message in self.messages:  # devices that were added before the entries of their user were written
            newer = sql.newer_nodes_of_users(self.newest, message.nodes) if message.nodes else []
            sql.add_missing_entries([(node, message.rank, message.number) for node in newer])
        complete = [replace(message, nodes=self._nodes(message)) for message in self.messages]
        publish(complete, batch)
        self._discard([message for message in complete if not message.nodes])
        receipts.add(self.sender_node, self.digest, number)
        receipts.save()
        return number

    def _nodes(self, message: Outgoing) -> list[int]:
        """Return all nodes that a message is for, including new ones whose queue was copied from another meanwhile."""
        nodes = dict.fromkeys(message.nodes)
        rest = self.written
        while rest:
            one, page, rest = rest
            if one is message:
                nodes.update(dict.fromkeys(page))
        nodes.update(dict.fromkeys(sql.newer_nodes(self.newest, message.rank, message.number)))
        return list(nodes)

    @staticmethod
    def _discard(messages: Iterable[Outgoing]) -> None:
        discard_on_commit([message.body.name for message in messages if isinstance(message.body, Spooled)])
