"""Limits on rates and links. An hour's allowance can be used at once, and refills evenly."""

from __future__ import annotations

from typing import Any

import pytest

from tmtp.conf import DEFAULT_LIMITS, conf
from tmtp.engine import limits as module
from tmtp.engine.limits import HOUR, Limits, network_of
from tmtp.services.errors import Refused

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
    assert not limits._held


def test_links_of_a_network_are_counted(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"links_per_network": 2, "links": 5}}
    limits = Limits()
    assert [limits.open(f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    assert [limits.open(address) for address in ("2001:db8:0:1::", "::ffff:192.0.2.1", "192.0.2.2")] == [True] * 3
    assert not limits.open("192.0.2.3")  # five are open in all
    limits.close("2001:db8::1")
    assert limits.open("2001:db8::3")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("?", "?"),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_pings_and_messages_are_counted_for_a_day(settings: Any, clock: list[float]) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"pings_per_user": 2, "messages_per_user": 3}}
    limits = Limits()
    for _ in range(2):
        limits.spend_ping("ann")
    clock[0] += HOUR
    with pytest.raises(Refused, match="too many pings"):
        limits.spend_ping("ann")
    limits.spend_post("ann", 1, 1, 100)
    with pytest.raises(Refused, match="too many messages today"):
        limits.spend_post("ann", 1, 1, 100)
    clock[0] += 12 * HOUR
    limits.spend_ping("ann")
    limits.spend_post("bob", 1, 1, 100)


@pytest.mark.parametrize(
    ("name", "post", "fit", "code"),
    [
        ("recipients_per_post", (11, 11, 1), 0, "too_many_recipients"),
        ("requests_per_user", (1, 1, 1), 10, "too_many_requests"),
        ("recipients_per_user", (4, 4, 1), 2, "too_many_recipients_now"),
        ("recipients_per_user", (1, 100, 1), 0, "too_many_recipients_now"),
        ("octets_per_user", (1, 1, 4), 2, "too_many_octets"),
        ("messages_per_user", (0, 0, 1), 10, "too_many_messages"),
    ],
)
def test_posts_are_counted_by_all_they_cost(
    settings: Any, clock: list[float], name: str, post: tuple[int, int, int], fit: int, code: str
) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {name: 10}}
    limits = Limits()
    for _ in range(fit):
        limits.spend_post("ann", *post)
    with pytest.raises(Refused) as caught:
        limits.spend_post("ann", *post)
    assert caught.value.code == code
    limits.spend_post("bob", 1, 1, 1)


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
