"""Helpers for tests of services: users with nodes, and the messages that wait for them."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from django.db import transaction

from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services.people import actors, devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import queue

_count = count()


@transaction.atomic
def someone(alias: str = "", nodes: int = 1) -> Sender:
    """Create a user with so many nodes, and return them as a sender from the first one."""
    sender = users.register("laptop", alias).sender
    for _ in range(nodes - 1):
        devices.add_node(sender, "phone")
    forget(*own(sender))
    return sender


def own(sender: Sender) -> list[int]:
    """Return the nodes in use of a user."""
    return sorted(actors.nodes_of([sender.user]))


def waiting(node: int | Sender | None) -> list[dict[str, Any]]:
    """Return the headers of the messages that wait for a node, or for a sender's, with `data` if there is any."""
    node = node.node if isinstance(node, Sender) else node
    assert node is not None
    page, complete = queue.read_page(node, 1000)
    assert complete
    headers = []
    for parcel in page:
        end = 4 + int(parcel.frame[:4], 16)
        header = json.loads(parcel.frame[4:end])
        data = parcel.frame[end:]
        headers.append({**header, "data": data} if data else header)
    return headers


def ops(node: int | Sender | None) -> list[str]:
    """Return the ops of the messages that wait for a node."""
    return [header["op"] for header in waiting(node)]


def forget(*nodes: int | Sender | None) -> None:
    """Delete all that waits for these nodes."""
    for node in nodes:
        queue.discard_queue((node.node if isinstance(node, Sender) else node) or 0)


def to(*people: Sender) -> list[Recipient]:
    """Return a list of recipients."""
    return [Recipient(person.uid, TO_USER) for person in people]


def unique(prefix: str = "name of no ") -> str:
    """Return a name that nobody has."""
    return f"{prefix}{next(_count)}"
