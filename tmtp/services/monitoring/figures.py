"""The latest figures of each server (`tmtp.models.ServerFigures`)."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from ...models import ServerFigures
from ..queue.batch import Batch


def record(server: int, values: dict[str, Any], *, batch: Batch | None = None) -> None:
    """Write the figures of a server, which is named by its lease."""
    ServerFigures.objects.update_or_create(server_id=server, defaults={"at": timezone.now(), "values": values})
