"""Rate limits for addresses and users (TMTP["LIMITS"]). They are kept in memory, for this process only."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from functools import lru_cache

from ..conf import DEFAULT_LIMITS, conf
from ..services.errors import Refused

HOUR = 3600.0
PERIODS = {"pings_per_pair": 24 * HOUR}  # of rates that are not per hour, in seconds


class Limits:
    """The counts of links and requests. A rate is a token bucket: it holds an hour's allowance, and refills evenly."""

    def __init__(self) -> None:
        self._most = {name: conf.limit(name) for name in DEFAULT_LIMITS}
        self._links: Counter[tuple[str, str]] = Counter()  # by limit, and what it applies to
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # the amount spent, and when it was counted

    def open(self, address: str) -> bool:
        """Count a new link from an address. Return False, without counting it, if there are too many."""
        counts = _counts(address)
        for count in counts:
            most = self._most[count[0]]
            if most is not None and self._links[count] >= most:
                return False
        self._links.update(counts)
        return True

    def close(self, address: str) -> None:
        """Subtract a link of an address that has ended."""
        for count in _counts(address):
            self._links[count] -= 1
            if not self._links[count]:
                del self._links[count]

    def spend(self, name: str, who: str) -> bool:
        """Count a request under the limit `name`, by an address or user. Return False if the allowance is used up."""
        most = self._most[name]
        if most is None:
            return True
        spent = self._spent(name, who, most)
        if spent + 1 > most:
            return False
        self._buckets[name, who] = spent + 1, time.monotonic()
        return True

    def spend_ping(self, uid: str, to: str) -> None:
        """Count a ping or an invitation of a user to an alias. Raise Refused if there are too many."""
        pair = f"{uid} {to[:255]}"
        if self.exhausted("pings_per_pair", pair):
            raise Refused("too_many_pings_to", name=to)
        if not self.spend("pings_per_user", uid):
            raise Refused("too_many_pings")
        self.spend("pings_per_pair", pair)

    def exhausted(self, name: str, who: str) -> bool:
        """Return whether one more request would exceed the limit, without counting it."""
        most = self._most[name]
        return most is not None and self._spent(name, who, most) + 1 > most

    def forget(self) -> None:
        """Drop the buckets that are full again."""
        for name, who in list(self._buckets):
            most = self._most[name]
            if most is None or not self._spent(name, who, most):
                del self._buckets[name, who]

    def _spent(self, name: str, who: str, most: int) -> float:
        spent, counted = self._buckets.get((name, who), (0.0, 0.0))
        return max(0.0, spent - (time.monotonic() - counted) * most / PERIODS.get(name, HOUR))


def _counts(address: str) -> list[tuple[str, str]]:
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
