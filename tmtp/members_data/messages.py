"""The messages of a user that the service has: those in the mailbox, and those that wait for devices."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import IO, Any

from ..models import Message, QueueEntry, User
from ..services.messages.mailbox import Received, look_up_names
from ..services.people.names import aliases_of
from ..services.storage.numbers import largest_number
from ..services.storage.object_storage import StorageUnavailable
from .archive import Part, to_json
from .eml import eml

MAILS = ("delivery", "notify", "ping", "invite")  # messages that somebody has written
NEWS = "member"  # of a group, made by the service: all of it is in its header
NUMBERS = 500  # read at once
MESSAGES = 20
GROWTH = 1.4  # of base64, with line ends
IN_MEMORY = 2**20  # octets of the list of messages; a longer one is in a temporary file
PIECE = 64 * 1024


def message_parts(user: User) -> Iterator[Part]:
    """Yield an e-mail for each message, oldest first, and then `messages.json`, which lists them.

    Messages that come meanwhile are left out. One that is removed meanwhile, or that the site cannot read any more, is
    in the list, with the reason.
    """
    name = aliases_of([user])[user.pk]
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as listing:
        for received in _messages(user):
            row = _news(received) if received.op == NEWS else _mail(received, user)
            if "file" in row:
                size = int(received.message.size * GROWTH)
                pieces = _noting_failure(eml(received, user, name), row)
                yield Part(row["file"], pieces, size, received.posted)
            listing.write((b",\n" if listing.tell() else b"") + to_json(row))
        size = listing.tell()
        listing.seek(0)
        yield Part("messages.json", _whole(listing), size)


def _news(received: Received) -> dict[str, Any]:
    """Return what the list says of news of a group. There is no file with it."""
    return {"message": received.msgid, "kind": received.op, "time": received.posted, "header": received.header}


def _mail(received: Received, user: User) -> dict[str, Any]:
    """Return what the list says of a message, without `file` if it cannot be read."""
    folder = "sent" if received.uid == user.uid else "received"
    row: dict[str, Any] = {
        "message": received.msgid,
        "file": f"messages/{folder}/{received.posted:%Y%m%d-%H%M%S}-{received.msgid}.eml",
        "kind": received.op,
        "time": received.posted,
    }
    try:
        row |= {"from": received.alias, "uid": received.uid, "subject": received.subject}
        row["thread"] = received.named_thread
        row["attachments"] = [{"name": one.name, "octets": one.size} for one in received.attachments]
    except OSError as error:
        del row["file"]
        row["left_out"] = why_unreadable(error)
    return row


def _noting_failure(pieces: Iterator[bytes], row: dict[str, Any]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        row["incomplete"] = why_unreadable(error)


def why_unreadable(error: OSError) -> str:
    """Return why a body cannot be read."""
    if isinstance(error, StorageUnavailable):
        return "its storage does not answer at the moment"
    if isinstance(error, FileNotFoundError):
        return "removed during the export, or damaged"
    return "it cannot be read at the moment"


def _whole(listing: IO[bytes]) -> Iterator[bytes]:
    yield b"[\n"
    while piece := listing.read(PIECE):
        yield piece
    yield b"\n]\n"


def _messages(user: User) -> Iterator[Received]:
    """Yield the messages that wait for the user's nodes, each once, with its names."""
    numbers = _numbers(user)
    while some := list(islice(numbers, MESSAGES)):
        found = Message.objects.filter(pk__in=some, op__in=(*MAILS, NEWS)).select_related("sender").order_by("pk")
        received = [Received(message) for message in found]
        look_up_names(received)
        yield from received


def _numbers(user: User) -> Iterator[int]:
    """Yield the numbers of all messages up to now, in order, each once."""
    until = largest_number()
    queues: Sequence[Iterator[int]] = [_queue(node, until) for node in user.nodes.values_list("pk", flat=True)]
    return (number for number, _ in groupby(heapq.merge(*queues)))


def _queue(node: int, until: int) -> Iterator[int]:
    """Yield the numbers in a node's queue, some at a time: no transaction is open while they are downloaded."""
    after = 0
    queue = QueueEntry.objects.filter(node=node, rank=QueueEntry.Rank.NORMAL, message_id__lte=until)
    while some := list(
        queue.filter(message_id__gt=after).order_by("message_id").values_list("message_id", flat=True)[:NUMBERS]
    ):
        yield from some
        after = some[-1]
