"""What is counted under a limit holds over all processes."""

from __future__ import annotations

from typing import Any

import pytest

from tmtp.engine.limits import Limits
from tmtp.models import LimitCount, ServerLease
from tmtp.services.queue import leases, limit_counts

pytestmark = pytest.mark.django_db
NAME = "requests_per_user"


@pytest.fixture(autouse=True)
def clean(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {NAME: 60, "links_per_address": 100}}


def exchange(*several: Limits) -> None:
    """Do what the servers of these limits do every second."""
    for limits in several:
        rows = limits.take_spent()
        if rows:
            limits.learn_spent(rows, limit_counts.spend(rows))


def spend(limits: Limits, times: int, name: str = NAME, amount: float = 1) -> int:
    """Return how many of so many requests are allowed."""
    return sum(limits.spend(name, "ann", amount) for _ in range(times))


def test_what_is_spent_at_one_server_is_spent_at_the_other() -> None:
    here, there = Limits(), Limits()
    assert spend(here, 40) == 40
    assert spend(there, 5) == 5
    exchange(here, there)
    assert spend(there, 60) == 15
    exchange(there)
    assert spend(here, 1) == 1, "it has not heard of that yet"
    exchange(here)
    assert spend(here, 60) == 0


def test_an_allowance_that_both_used_up_at_once_is_paid_back() -> None:
    here, there = Limits(), Limits()
    spend(here, 60)
    spend(there, 60)
    exchange(here, there, here)
    (row,) = LimitCount.objects.all()
    assert row.amount == pytest.approx(120, abs=1)
    assert not spend(here, 1)
    LimitCount.objects.update(counted=row.counted - 3600)  # an hour later
    fresh = Limits()
    spend(fresh, 5)
    exchange(fresh)
    assert fresh.exhausted(NAME, "ann"), "60 of 120 are not paid back yet"


def test_a_restart_forgets_nothing() -> None:
    before = Limits()
    spend(before, 60)
    exchange(before)
    after = Limits()
    assert after.spend(NAME, "ann", 3)
    exchange(after)
    assert not after.spend(NAME, "ann")


def test_what_is_little_stays_in_memory_until_it_is_much() -> None:
    here = Limits()
    spend(here, 2)
    exchange(here)
    assert not LimitCount.objects.exists()
    spend(here, 3)
    exchange(here)
    assert LimitCount.objects.get().amount == pytest.approx(5, abs=0.1)


def test_what_could_not_be_shared_is_shared_later() -> None:
    here, there = Limits(), Limits()
    spend(here, 30)
    here.put_back(here.take_spent())
    exchange(here)
    spend(there, 5)
    exchange(there)
    assert spend(there, 60) == 25


def test_a_server_hurries_only_with_what_it_has_never_exchanged() -> None:
    limits = Limits()
    hurried: list[bool] = []
    limits.hurry = lambda: hurried.append(True)
    spend(limits, 2)
    assert not hurried
    spend(limits, 20)
    exchange(limits)
    spend(limits, 20)
    assert len(hurried) == 1


def test_nothing_is_exchanged_while_nothing_is_spent() -> None:
    limits = Limits()
    spend(limits, 50)
    exchange(limits)
    assert not limits.take_spent()
    assert not limits.take_held()


def test_a_rate_that_was_given_back_is_deleted() -> None:
    limits = Limits()
    spend(limits, 60)
    exchange(limits)
    assert limit_counts.purge() == 0
    row = LimitCount.objects.get()
    LimitCount.objects.update(until=(row.until or 0) - 3601)
    assert limit_counts.purge() == 1


def test_the_database_keeps_no_address() -> None:
    limits = Limits()
    limits.spend("registrations_per_address", "192.0.2.77", 500)
    exchange(limits)
    assert "192.0.2.77" not in str(LimitCount.objects.values())


def share(limits: Limits, lease: ServerLease, *others: ServerLease) -> None:
    counts = limits.take_held()
    if counts:
        names, servers = list(counts), [other.pk for other in others]
        limits.learn_held(names, limit_counts.share_open(lease.pk, names, list(counts.values()), servers))


def test_links_are_counted_over_all_servers_that_are_alive() -> None:
    one, two = leases.take("one"), leases.take("two")
    here, there = Limits(), Limits()
    assert sum(here.open("192.0.2.1") for _ in range(90)) == 90
    share(here, one, two)
    assert sum(there.open("192.0.2.1") for _ in range(5)) == 5
    share(there, two, one)
    assert sum(there.open("192.0.2.1") for _ in range(50)) == 5
    for _ in range(90):
        here.close("192.0.2.1")
    share(here, one, two)
    assert not there.open("192.0.2.1"), "it has not heard of that yet"
    share(there, two, one)
    assert there.open("192.0.2.1")
    for _ in range(80):
        here.open("192.0.2.1")
    share(here, one, two)
    leases.release(one.pk)  # its links have ended with it
    there.share_all_held()
    share(there, two)
    assert sum(there.open("192.0.2.1") for _ in range(100)) == 89
