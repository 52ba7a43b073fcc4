"""The log says once that something fails, and once that it works again."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tmtp.services.storage import hints
from tmtp.services.storage.outages import Outage

pytestmark = pytest.mark.once


def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_one_line_when_it_begins_and_one_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("it fails: %s", "it works again")
    outage.over()
    for reason in ("first", "second", "third"):
        outage.met(reason)
    outage.over()
    outage.over()
    outage.met("later")
    assert texts(caplog) == ["it fails: first", "it works again", "it fails: later"]


class Layer:
    """A channel layer that fails so many times: it refuses the group, or to give messages."""

    def __init__(self, fails: int, at: str) -> None:
        self.fails, self.at = fails, at

    def _may_fail(self, at: str) -> None:
        if at == self.at and self.fails:
            self.fails -= 1
            raise RuntimeError("no capacity")

    async def new_channel(self) -> str:
        return "channel"

    async def group_add(self, group: str, channel: str) -> None:
        self._may_fail("add")

    async def group_discard(self, group: str, channel: str) -> None:
        self._may_fail("discard")

    async def receive(self, channel: str) -> dict[str, str]:
        self._may_fail("receive")
        await asyncio.sleep(0)
        return {"type": "tmtp.wake"}

    async def group_send(self, group: str, message: dict[str, str]) -> None:
        self._may_fail("send")


@pytest.mark.parametrize("at", ["add", "receive"])
async def test_a_layer_that_refuses_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    monkeypatch.setattr(hints, "PAUSE", 0)
    layer = Layer(5, at)
    monkeypatch.setattr(hints, "shared_layer", lambda: layer)
    got = asyncio.Event()
    task = asyncio.create_task(hints.listen(got.set))
    await asyncio.wait_for(got.wait(), 60)
    task.cancel()
    assert texts(caplog) == ["the channel layer gives no hints: no capacity", "the channel layer gives hints again"]


def test_a_layer_that_takes_nothing_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layer = Layer(5, "send")
    monkeypatch.setattr(hints, "shared_layer", lambda: layer)
    for _ in range(7):
        hints.wake()
    assert texts(caplog) == [
        "the channel layer did not take a hint: no capacity",
        "the channel layer takes hints again",
    ]
