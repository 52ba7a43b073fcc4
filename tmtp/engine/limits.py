"""Rate limits for addresses and users (TMTP["LIMITS"]).

Each process counts in memory, so that counting costs next to nothing. What has become worth sharing is exchanged with
other processes (`shared_limits`): counts of which SHARED_FROM of the limit is used here. So what is refused here is
also refused elsewhere, shortly after.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from ..conf import DEFAULT_LIMITS, conf
from ..services.errors import Refused
from ..services.queue.limit_counts import Count, Spent

HOUR = 3600.0
SHARED_FROM = 0.05
DAY = 24 * HOUR
PERIODS = {"pings_per_user": DAY, "messages_per_user": DAY, "octets_per_user": DAY}  # the other rates are per hour


class Limits:
    """The counts of links and requests. A rate is a token bucket: it holds an hour's allowance, and refills evenly."""

    def __init__(self) -> None:
        self._most = {name: conf.limit(name) for name in DEFAULT_LIMITS}
        self._refill = {name: (most or 1) / PERIODS.get(name, HOUR) for name, most in self._most.items()}  # a second
        self._held: Counter[Count] = Counter()  # links and uploads
        self._elsewhere: dict[Count, int] = {}  # what other servers hold of them
        self._buckets: dict[Count, tuple[float, float]] = {}  # the amount spent, and when it was counted
        self._unshared: dict[Count, float] = {}  # the part of it that was not added to what all processes share
        self._shared: set[Count] = set()  # the buckets that were exchanged
        self._due: set[Count] = set()  # the buckets to exchange
        self._due_held: set[Count] = set()  # the counts of `_held` to exchange
        self.hurry: Callable[[], object] = _wait  # called when a bucket is to be exchanged for the first time

    def open(self, address: str) -> bool:
        """Count a new link from an address. Return False, without counting it, if there are too many."""
        counts = _counts(address)
        if not all([self._has_room(count, 1) for count in counts]):
            return False
        self._held.update(counts)
        self._share_held(counts)
        return True

    def close(self, address: str) -> None:
        """Subtract a link of an address that has ended."""
        for name, who in _counts(address):
            self.release(name, who)

    def hold(self, name: str, who: str, amount: int = 1) -> bool:
        """Count something that a user has for a while. Return False, without counting it, if that is too much."""
        count = name, who
        if not self._has_room(count, amount):
            return False
        self._held[count] += amount
        self._share_held([count])
        return True

    def release(self, name: str, who: str, amount: int = 1) -> None:
        """Subtract what `hold` has counted."""
        count = name, who
        self._held[count] -= amount
        if not self._held[count]:
            del self._held[count]
        self._share_held([count])

    def _has_room(self, count: Count, amount: int) -> bool:
        most = self._most[count[0]]
        if most is None or self._held[count] + self._elsewhere.get(count, 0) + amount <= most:
            return True
        self._due_held.update(self._elsewhere.keys() & {count})  # less may be held elsewhere by now
        return False

    def spend(self, name: str, who: str, amount: float = 1) -> bool:
        """Count a request under the limit `name`, by an address or user. Return False if the allowance is used up."""
        most = self._most[name]
        if most is None:
            return True
        count, now = (name, who), time.monotonic()
        spent = amount
        if count in self._buckets:
            before, counted = self._buckets[count]
            spent += max(0.0, before - (now - counted) * self._refill[name])
        if spent > most:
            return False
        self._buckets[count] = spent, now
        self._unshared[count] = self._unshared.get(count, 0.0) + amount
        if spent >= most * SHARED_FROM:
            self._due.add(count)
            if count not in self._shared:
                self._shared.add(count)
                self.hurry()
        return True

    def spend_post(self, uid: str, recipients: int, cost: int, octets: int) -> None:
        """Count a post of a user: how many it is for, what that counts as, and the octets of its data.

        Raise Refused if that is too much.
        """
        most = self._most["recipients_per_post"]
        if most is not None and recipients > most:
            raise Refused("too_many_recipients", most=most)
        if not self.spend("requests_per_user", uid):
            raise Refused("too_many_requests")
        if not self.spend("recipients_per_user", uid, cost):
            raise Refused("too_many_recipients_now")
        if not self.spend("octets_per_user", uid, octets):
            raise Refused("too_many_octets")
        if not self.spend("messages_per_user", uid):
            raise Refused("too_many_messages")

    def spend_ping(self, uid: str) -> None:
        """Count a ping or an invitation of a user. Raise Refused if there are too many."""
        if not self.spend("pings_per_user", uid):
            raise Refused("too_many_pings")
        if not self.spend("messages_per_user", uid):
            raise Refused("too_many_messages")

    def exhausted(self, name: str, who: str) -> bool:
        """Return whether one more request would exceed the limit, without counting it."""
        most = self._most[name]
        return most is not None and self._spent((name, who)) + 1 > most

    def forget(self) -> None:
        """Drop the buckets that are full again."""
        for count in list(self._buckets):
            most = self._most[count[0]]
            if most is None or not self._spent(count):
                del self._buckets[count]
                self._unshared.pop(count, None)
                self._shared.discard(count)
                self._due.discard(count)

    def _spent(self, count: Count) -> float:
        spent, counted = self._buckets.get(count, (0.0, 0.0))
        return max(0.0, spent - (time.monotonic() - counted) * self._refill[count[0]])

    # what is exchanged with other processes

    def take_spent(self) -> list[Spent]:
        """Return what was spent and is worth sharing."""
        due, self._due = self._due, set()
        rows: list[Spent] = []
        for count in due:
            amount = min(self._unshared.pop(count, 0.0), self._spent(count))  # some was given back meanwhile
            rows.append((*count, amount, self._refill[count[0]]))
        return rows

    def put_back(self, rows: list[Spent]) -> None:
        """Share later what could not be shared."""
        for name, who, amount, _ in rows:
            count = name, who
            self._unshared[count] = self._unshared.get(count, 0.0) + amount
            self._due.add(count)

    def learn_spent(self, rows: list[Spent], total: list[float]) -> None:
        """Take over what all processes have spent, for each of these rows."""
        now = time.monotonic()
        for (name, who, _, _), spent in zip(rows, total, strict=True):
            count = name, who
            self._buckets[count] = spent + self._unshared.get(count, 0.0), now

    def take_held(self) -> dict[Count, int]:
        """Return the counts of links and uploads that have changed and are worth sharing."""
        due, self._due_held = self._due_held, set()
        return {count: self._held.get(count, 0) for count in due}

    def share_all_held(self) -> None:
        """Share all counts of links and uploads that are worth it: another server has come or gone."""
        self._elsewhere.clear()
        self._share_held(list(self._held))

    def learn_held(self, counts: list[Count], elsewhere: list[int]) -> None:
        """Note how much other servers hold of each of these counts."""
        for count, amount in zip(counts, elsewhere, strict=True):
            if count in self._held:
                self._elsewhere[count] = amount
            else:
                self._elsewhere.pop(count, None)

    def _share_held(self, counts: list[Count]) -> None:
        for count in counts:
            most = self._most[count[0]]
            if most is not None and (count in self._elsewhere or self._held.get(count, 0) >= most * SHARED_FROM):
                self._due_held.add(count)


def _wait() -> None:
    """Do nothing: what is due is exchanged at the next time."""


def _counts(address: str) -> list[Count]:
    """Return what a link from this address counts for: the limits, and what they apply to."""
    return [("links", ""), ("links_per_address", address), ("links_per_network", network_of(address))]


@lru_cache(4096)
def network_of(address: str) -> str:
    """Return the /64 network of an IPv6 address, which one customer has, and any other address as it is."""
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
