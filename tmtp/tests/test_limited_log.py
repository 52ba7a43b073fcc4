"""What strangers cause is logged: a line for each event at first, then a line a minute with a count."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tmtp.server import limited_log
from tmtp.server.limited_log import LimitedLog

from .processes import until

pytestmark = pytest.mark.once
log = logging.getLogger("tmtp.test")


async def test_a_flood_is_a_few_lines_and_then_a_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_log, "MINUTE", 0.5)
    failures = LimitedLog(log, "login failed from %s")
    for _ in range(1000):
        failures.warning("192.0.2.1")
    failures.warning("192.0.2.2")
    await until(lambda: "more" in caplog.text)
    assert caplog.messages == [
        *["login failed from 192.0.2.1"] * 5,
        "login failed from 192.0.2.2",
        "login failed from these or other addresses: 995 more within a minute",
    ]
    monkeypatch.setattr(limited_log, "MINUTE", 0)
    failures.warning("192.0.2.1")
    assert caplog.messages[-1] == "login failed from 192.0.2.1"


async def test_a_flood_from_everywhere_too(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_log, "MINUTE", 0.5)
    failures = LimitedLog(log, "login failed from %s")
    for number in range(1000):
        failures.warning(f"192.0.2.{number}")
    await until(lambda: "more" in caplog.text)
    assert len(caplog.messages) == limited_log.LINES + 1
    assert (
        caplog.messages[-1]
        == f"login failed from these or other addresses: {1000 - limited_log.LINES} more within a minute"
    )


async def test_a_count_that_no_event_follows_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_log, "MINUTE", 0.2)
    failures = LimitedLog(log, "login failed from %s")
    for _ in range(10):
        failures.warning("192.0.2.1")
    await until(lambda: "more" in caplog.text)
    await asyncio.sleep(0.3)
    assert [line for line in caplog.messages if "more" in line] == [
        "login failed from these or other addresses: 5 more within a minute"
    ]
