"""Wakes the server processes through a shared channel layer, where the site has one; a hint, never the queue."""

from __future__ import annotations

import logging

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

GROUP = "tmtp.servers"
log = logging.getLogger("tmtp")


def shared_layer() -> object | None:
    """The channel layer that other processes share, or None."""
    layer = get_channel_layer()
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def wake() -> None:
    """Tell all servers to look into the database now. They will soon anyway, so a failure is only logged."""
    layer = shared_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "tmtp.wake"})  # type: ignore[attr-defined]
    except Exception as error:
        log.warning("the channel layer did not take a hint: %s", error)
