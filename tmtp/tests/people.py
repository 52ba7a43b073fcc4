"""For tests of services: users with nodes, and what waits for these."""

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
    """A new user with so many nodes; sends from the first."""
    sender = users.register("laptop", alias).sender
    for _ in range(nodes - 1):
        devices.add_node(sender, "phone")
    forget(*own(sender))
    return sender


def own(sender: Sender) -> list[int]:
    """The nodes in use of a user."""
    return sorted(actors.nodes_of([sender.user]))


def waiting(node: int | Sender | None) -> list[dict[str, Any]]:
    """The headers of what waits for a node (a sender stands for its node), with `data` when there is some."""
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
    """The ops of what waits for a node."""
    return [header["op"] for header in waiting(node)]


def forget(*nodes: int | Sender | None) -> None:
    """Let nothing wait for these nodes."""
    for node in nodes:
        queue.discard_queue((node.node if isinstance(node, Sender) else node) or 0)


def to(*people: Sender) -> list[Recipient]:
    """A recipient list."""
    return [Recipient(person.uid, TO_USER) for person in people]


def unique(prefix: str = "name of no ") -> str:
    """A name nobody has."""
    return f"{prefix}{next(_count)}"
