"""Measures the whole service: the queues, the spool and the disk. It reads much, so servers do it once a minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import Sum

from ...models import Message, Node
from ..storage import room

ENTRIES_COUNTED = 1_000_000  # counting so many takes a fraction of a second, on either database
WAITING = (
    "SELECT node.kind, count(*), min(entry.message_id)"
    " FROM (SELECT node_id, message_id FROM tmtp_queueentry LIMIT %s) AS entry"
    " JOIN tmtp_node AS node ON node.id = entry.node_id GROUP BY node.kind"
)

Source = Callable[[], dict[str, Any]]
_sources: list[Source] = []  # of the optional apps


def add_source(source: Source) -> None:
    """Let an optional app add figures of its own. Called when the app is ready."""
    if source not in _sources:
        _sources.append(source)


def measure() -> dict[str, Any]:
    """Return the figures of the whole service, for JSON. They take a while; those of `current` do not."""
    return {"queues": queues(), "spool_octets": spooled_octets()}


def current() -> dict[str, Any]:
    """Return the figures of the whole service that are quickly read: of the disks, and of the optional apps."""
    values: dict[str, Any] = {"disk_free": room.free_on_disks()}
    for source in _sources:
        values.update(source())
    return values


def queues() -> dict[str, dict[str, int]]:
    """Return how many messages wait, and the number of the oldest, by the kind of node: device, mailbox, holding.

    Counting stops at ENTRIES_COUNTED.
    """
    found: dict[str, dict[str, int]] = {kind.name.lower(): {"waiting": 0, "oldest": 0} for kind in Node.Kind}
    with connection.cursor() as cursor:
        cursor.execute(WAITING, [ENTRIES_COUNTED])
        for kind, waiting, oldest in cursor.fetchall():
            found[Node.Kind(kind).name.lower()] = {"waiting": waiting, "oldest": oldest}
    return found


def spooled_octets() -> int:
    """Return the octets of the bodies in the spool that messages name."""
    octets: int | None = Message.objects.filter(spool__gt="").aggregate(octets=Sum("size"))["octets"]
    return octets or 0
