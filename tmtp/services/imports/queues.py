"""Take over the messages that wait for devices at another server, with their numbers, so in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from ...models import Message, Node, QueueEntry, User
from ..queue.queue import FIRST, NORMAL
from ..storage import sql
from ..storage.dialect import Row
from ..storage.encryption import seal
from ..storage.spool import Spooled, keep


@dataclass(frozen=True, slots=True)
class OldMessage:
    """A message as it goes over the wire: the head, without `nodeid`, and the body in pieces, `size` octets in all."""

    number: int
    first: bool  # whether it comes before messages without priority
    op: str
    sender: str  # the uid
    head: bytes
    size: int
    pieces: Iterable[bytes]
    nodeid: str = ""


def new_node(old_hash: bytes) -> int | None:
    """Return the id of the node that was taken over with this hash, None if it has logged in here, or was dropped."""
    return _new_nodes().filter(old_secret=old_hash).values_list("pk", flat=True).first()


@transaction.atomic
def take_messages(node: int, messages: Sequence[OldMessage]) -> tuple[int, list[OldMessage]]:
    """Add messages to the queue of a node that has never logged in here, and so has acknowledged none.

    Return how many were added, and those that cannot be: another message has the number. Raise Refused if the disk is
    full, and OSError or ValueError if a body cannot be read.
    """
    if not _new_nodes().select_for_update().filter(pk=node).exists():
        return 0, []
    numbers = [message.number for message in messages]
    there = {pk: bytes(head) for pk, head in Message.objects.filter(pk__in=numbers).values_list("pk", "head")}
    wrong = [message for message in messages if there.get(message.number, message.head) != message.head]
    right = [message for message in messages if there.get(message.number, message.head) == message.head]
    senders = dict(User.objects.filter(uid__in={message.sender for message in right}).values_list("uid", "pk"))
    sql.add_messages([_row(message, senders) for message in right if message.number not in there])
    before = QueueEntry.objects.filter(node=node).count()
    sql.add_missing_entries([(node, FIRST if message.first else NORMAL, message.number) for message in right])
    return QueueEntry.objects.filter(node=node).count() - before, wrong


def _new_nodes() -> QuerySet[Node]:
    return Node.objects.filter(old_secret__isnull=False, last_seen=None, dropped=None)


def _row(message: OldMessage, senders: dict[str, int]) -> Row:
    body = keep(message.pieces, message.size)
    name = body.name if isinstance(body, Spooled) else ""
    sender = senders.get(message.sender)
    sealed = seal(message.nodeid) if message.nodeid else ""
    inline = None if isinstance(body, Spooled) else body or None
    return (message.number, message.op, sender, message.head, inline, name, message.size, sealed, False)
