"""The queue: an entry for each message and each node that it waits for, until the node acknowledges the message.

All messages are queued with `enqueue`, or, a post to many, with `publish`. In a batch of the store, connected devices
get the messages from memory. Otherwise the messages are handed over to servers when the transaction commits (see
`routing`).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from ...models import QueueEntry
from ...protocol.messages import queued_message, with_members
from ..storage import sql
from ..storage.encryption import seal, unseal
from ..storage.hints import wake
from ..storage.numbers import numbers
from ..storage.spool import Spooled, discard
from .batch import Batch, Parcel
from .routing import hand_over_on_commit

PAGE_OCTETS = 128 * 1024
FIRST, NORMAL = QueueEntry.Rank.FIRST.value, QueueEntry.Rank.NORMAL.value


@dataclass(slots=True)
class Outgoing:
    """A message to be queued for nodes. `members` are those of its header that not every message has."""

    op: str
    uid: str  # the sender's
    sender: int | None  # the sender's id
    nodes: Sequence[int]
    members: dict[str, Any] = field(default_factory=dict)
    body: bytes | Spooled = b""
    rank: int = NORMAL
    nodeid: str = ""  # a new node's secret, encrypted while it waits
    tracked: bool = False  # whether a report of its delivery is kept
    number: int = 0  # `enqueue` assigns one if it is 0


def enqueue(outgoing: Iterable[Outgoing], batch: Batch | None) -> list[int]:
    """Queue messages for their nodes, in order, and return their numbers. A message for no node is not stored.

    Call it in a transaction, since messages and entries belong together.
    """
    outgoing = list(outgoing)
    for item in outgoing:
        item.number = item.number or numbers.next()
    sql.add_entries([(node, item.rank, item.number) for item in outgoing for node in item.nodes])
    publish(outgoing, batch)
    return [item.number for item in outgoing]


def publish(outgoing: Iterable[Outgoing], batch: Batch | None) -> None:
    """Store messages that have numbers and whose entries are written. A message for no node is not stored."""
    packed = [_packed(item, item.number) for item in outgoing if item.nodes]
    sql.add_messages([row for row, _ in packed])
    if batch is not None:
        batch.parcels += [parcel for _, parcel in packed]
    elif packed:
        wake_on_commit()
        hand_over_on_commit([(parcel.number, parcel.nodes) for _, parcel in packed])


def _packed(item: Outgoing, number: int) -> tuple[tuple[Any, ...], Parcel]:
    """Return a message as a row of the table and as a parcel."""
    spooled = item.body if isinstance(item.body, Spooled) else None
    body = b"" if isinstance(item.body, Spooled) else item.body
    size = spooled.size if spooled else len(body)
    head = queued_message(item.op, number, item.uid, size, item.members)
    sealed = seal(item.nodeid) if item.nodeid else ""
    name = spooled.name if spooled else ""
    row = (number, item.op, item.sender, head, body or None, name, size, sealed, item.tracked)
    if item.nodeid:
        head = with_members(head, {"nodeid": item.nodeid})
    return row, Parcel(number, item.rank, head + body, spooled, item.nodes, tracked=item.tracked)


def wake_on_commit() -> None:
    """Have open mailboxes read the database once the transaction commits.

    Without a shared channel layer, they find changes when they poll (TMTP["POLL"]).
    """
    transaction.on_commit(wake)


def acknowledge(entries: Sequence[tuple[int, int, int]]) -> list[str]:
    """Delete entries that nodes have acknowledged, given as (node id, rank, number).

    Return the names of spool files that are no longer needed. The caller removes them after the commit.
    """
    sql.delete_entries(entries)
    return sql.delete_finished({number for _, _, number in entries})


def read_page(node: int, limit: int, known: Collection[int] = ()) -> tuple[list[Parcel], bool]:
    """Return the first messages that wait for a node, without the `known` ones, and whether there are no more.

    Read `limit` entries, known ones included. The page ends with the message that takes it above PAGE_OCTETS.
    """
    rows = sql.read_page(node, limit)
    page: list[Parcel] = []
    octets = 0
    for row in rows:
        if row[0] in known:
            continue
        if octets > PAGE_OCTETS:
            return page, False
        page.append(_parcel(row))
        octets += page[-1].octets
    return page, len(rows) < limit


def read_messages(numbers: Iterable[int], nodes: Container[int]) -> list[Parcel]:
    """Return those of the messages that wait for some of the `nodes`, in order, each with these nodes."""
    parcels = []
    for waiting, *message in sql.messages(numbers):
        found = [node for node in waiting if node in nodes]
        if found:
            parcels.append(_parcel(message))
            parcels[-1].nodes = found
    return parcels


def _parcel(row: Sequence[Any]) -> Parcel:
    number, rank, head, body, spool, size, sealed, tracked = row
    if sealed:  # `nodeid` is null in the header if the site's SECRET_KEY has changed since
        head = with_members(head, {"nodeid": unseal(sealed)})
    spooled = Spooled(spool, size) if spool else None
    return Parcel(number, rank, head + body if body else bytes(head), spooled, tracked=bool(tracked))


def discard_queue(node: int) -> int:
    """Delete all messages that wait for a node, and return how many. Their spool files are removed on commit."""
    dropped = sql.clear_queue(node)
    discard_on_commit(sql.delete_finished(dropped))
    return len(dropped)


def discard_on_commit(names: Iterable[str]) -> None:
    """Remove spool files once the transaction has committed."""
    names = list(names)
    if names:
        transaction.on_commit(lambda: discard(names))
