"""Hints to the website's processes that the database has changed, over a shared channel layer if the site has one.

A hint only makes a process read the database sooner: it polls it every TMTP["POLL"] seconds anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

from .outages import Outage

GROUP = "tmtp.servers"
PAUSE = 5.0  # seconds, after the layer has failed
_giving = Outage("the channel layer gives no hints: %s", "the channel layer gives hints again")
_taking = Outage("the channel layer did not take a hint: %s", "the channel layer takes hints again")


def shared_layer() -> Any:
    """Return the channel layer that other processes share, or None."""
    layer = get_channel_layer()
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def wake() -> None:
    """Tell all processes with an open mailbox to read the database now.

    A failure is only logged, since they poll it anyway.
    """
    layer = shared_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "tmtp.wake"})
    except Exception as error:
        _taking.met(error)
    else:
        _taking.over()


async def listen(notice: Callable[[], object]) -> None:
    """Call `notice` for each hint, until the task is cancelled. Return at once when no channel layer is shared."""
    await listen_to(GROUP, lambda message: notice(), lambda hears: None)


async def listen_to(
    group: str, notice: Callable[[dict[str, Any]], object], listening: Callable[[bool], object]
) -> None:
    """Call `notice` with each message to a group, until the task is cancelled. Return at once without a layer.

    `listening` is called with True before, and again when messages may have been lost; with False when none arrive.
    """
    layer = shared_layer()
    while layer is not None:
        try:
            channel = await layer.new_channel()
            await layer.group_add(group, channel)
            listening(True)
            try:
                while True:
                    message = await layer.receive(channel)
                    _giving.over()  # and not before: a layer may take the group, and refuse to give messages
                    notice(message)
            finally:
                with suppress(Exception):
                    await layer.group_discard(group, channel)
        except Exception as error:
            listening(False)
            _giving.met(error)
            await asyncio.sleep(PAUSE)
