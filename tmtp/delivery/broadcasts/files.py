"""The attachments of a broadcast. They are in the database, so that all workers have them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from tmtp.services.messages.attachments import attachments_of

from ..errors import Refused
from .models import Broadcast, File

MOST = 10 * 2**20  # octets of all attachments of a broadcast
KEPT = timedelta(days=1)  # how long files stay that no broadcast has


def attach(broadcast: Broadcast, files: Iterable[Any]) -> None:
    """Attach files, in any form that `send_message` takes. Raise Refused for one that cannot be read, or too much."""
    attachments = attachments_of(files)
    size = size_of(broadcast) + sum(one.size for one in attachments)
    if size > MOST:
        raise Refused("broadcast_files_too_large", size=size, most=MOST)
    for one in attachments:
        broadcast.files.add(File.objects.create(name=one.name, size=one.size, content=b"".join(one.pieces())))


def attachments(broadcast: Broadcast) -> list[tuple[str, bytes]]:
    """Return the attachments for `send_message`."""
    return [(file.name, bytes(file.content)) for file in broadcast.files.order_by("pk")]


def size_of(broadcast: Broadcast) -> int:
    """Return the size of all attachments, in octets."""
    return broadcast.files.aggregate(size=Sum("size"))["size"] or 0


def purge() -> None:
    """Delete files that no broadcast has any more."""
    File.objects.filter(broadcast=None, created__lt=timezone.now() - KEPT).delete()
