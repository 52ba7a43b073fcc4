"""Posts to so many that one transaction would keep everyone else waiting: some entries in each, and all or nothing.

The entries are written first, in as many transactions as it takes; the message, which makes them count, comes with the
last one, together with the receipt. Until then nobody sees anything of the post, since a queue is read together with
its messages. A crash, or an error, leaves entries without a message: they are swept (services.messages.sweeping).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..errors import Refused
from ..queue.batch import Batch
from ..queue.queue import Outgoing, discard_on_commit, publish
from ..queue.receipts import Receipts
from ..storage import sql
from ..storage.spool import Spooled

AT_ONCE = 250  # entries; with more, a post takes several transactions
PATIENCE = 300 * 1_000_000_000  # nanoseconds that a post may take; twice that, and its entries are swept
LATE = PATIENCE + 30 * 1_000_000_000  # nanoseconds that a number may be older than one committed before it


class Share(NamedTuple):
    """A message is for the joined members of a group, but for one user perhaps."""

    message: Outgoing
    group: int
    without: int | None


@dataclass(frozen=True, slots=True)
class Fanout:
    """A post on its way: how far it has come. Each step gives the next one, so that a step may be taken again.

    `messages` have the nodes that they are for besides the members of the groups in `shares`, which are to be written.
    """

    messages: Sequence[Outgoing]
    shares: tuple[Share, ...]
    sender_node: int | None
    digest: bytes  # of the request, see services.queue.receipts
    newest: int  # of all nodes when it began
    after: tuple[int, int] = (0, 0)  # user and node that the first share is written up to
    written: tuple[Any, ...] = ()  # message and nodes, and what was written before

    def step(self, *, batch: Batch | None = None) -> Fanout | int:
        """Write the next entries, in the caller's transaction. Return what is left, or the message's number at last.

        Raise Refused when it took too long.
        """
        if not self.shares:
            return self._finish(batch)
        message, group, without = self.shares[0]
        page = sql.nodes_of_group(group, self.after, AT_ONCE)
        nodes = [node for user, node in page if user != without]
        sql.add_missing_entries([(node, message.rank, message.number) for node in nodes])
        written = (message, nodes, self.written)
        if len(page) == AT_ONCE:
            return replace(self, after=page[-1], written=written)
        return replace(self, shares=self.shares[1:], after=(0, 0), written=written)

    def _finish(self, batch: Batch | None) -> int:
        """Make it count, unless the same request was done meanwhile, over another link."""
        receipts = Receipts([(self.sender_node, self.digest)])
        number = self.messages[0].number
        known = receipts.number(self.sender_node, self.digest)
        if known:
            self._discard(self.messages)
            return known
        if time.time_ns() - number > PATIENCE:
            self._discard(self.messages)
            raise Refused("took_too_long")
        for message in self.messages:
            sql.add_missing_entries([(node, message.rank, message.number) for node in message.nodes])
        complete = [replace(message, nodes=self._nodes(message)) for message in self.messages]
        publish(complete, batch)
        self._discard([message for message in complete if not message.nodes])
        receipts.add(self.sender_node, self.digest, number)
        receipts.save()
        return number

    def _nodes(self, message: Outgoing) -> list[int]:
        """All nodes that a message is for, those included that were added meanwhile with a copy of a queue."""
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
