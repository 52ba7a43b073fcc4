"""Limits on rates and links. An hour's allowance can be used at once, and refills evenly."""

from __future__ import annotations

from typing import Any

import pytest

from tmtp.conf import DEFAULT_LIMITS, conf
from tmtp.engine import limits as module
from tmtp.engine.limits import HOUR, Limits

pytestmark = pytest.mark.once

NAME = "requests_per_user"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def limits(settings: Any, clock: list[float]) -> Limits:
    settings.TMTP = {**settings.TMTP, "LIMITS": {NAME: 60, "links_per_address": 2}}
    return Limits()


def test_an_allowance_is_for_each_and_fills_up_again(limits: Limits, clock: list[float]) -> None:
    assert [limits.spend(NAME, "ann") for _ in range(61)] == [True] * 60 + [False]
    assert limits.exhausted(NAME, "ann")
    assert not limits.exhausted(NAME, "bob")
    clock[0] += HOUR / 60
    assert [limits.spend(NAME, "ann") for _ in range(2)] == [True, False]
    clock[0] += 10 * HOUR
    assert [limits.spend(NAME, "ann") for _ in range(61)] == [True] * 60 + [False]


def test_looking_spends_nothing(limits: Limits) -> None:
    assert not any(limits.exhausted(NAME, "ann") for _ in range(100))


def test_buckets_that_are_full_again_are_forgotten(limits: Limits, clock: list[float]) -> None:
    limits.spend(NAME, "ann")
    limits.forget()
    assert limits._buckets
    clock[0] += HOUR
    limits.forget()
    assert not limits._buckets


def test_links_of_an_address_are_counted(limits: Limits) -> None:
    assert [limits.open("::1") for _ in range(3)] == [True, True, False]
    assert limits.open("::2")
    limits.close("::1")
    assert limits.open("::1")
    for address in ("::1", "::1", "::2"):
        limits.close(address)
    assert not limits._links


@pytest.mark.parametrize("lifted", [None, dict.fromkeys(DEFAULT_LIMITS)])
def test_limits_can_be_lifted(settings: Any, lifted: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": lifted}
    limits = Limits()
    assert all(limits.open("::1") for _ in range(2000))
    assert all(limits.spend(NAME, "ann") for _ in range(50_000))
    assert all(conf.limit(name) is None for name in DEFAULT_LIMITS)


def test_one_limit_changed_leaves_the_others(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {NAME: 5}}
    assert conf.limit(NAME) == 5
    assert conf.limit("groups_per_user") == DEFAULT_LIMITS["groups_per_user"]
