"""Rate limits for addresses and users (TMTP["LIMITS"]). They are kept in memory, for this process only."""

from __future__ import annotations

import time
from collections import Counter

from ..conf import DEFAULT_LIMITS, conf

HOUR = 3600.0


class Limits:
    """The counts of links and requests. A rate is a token bucket: it holds an hour's allowance, and refills evenly."""

    def __init__(self) -> None:
        self._most = {name: conf.limit(name) for name in DEFAULT_LIMITS}
        self._links: Counter[str] = Counter()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # the amount spent, and when it was counted

    def open(self, address: str) -> bool:
        """Count a new link from an address. Return False, without counting it, if the address has too many."""
        most = self._most["links_per_address"]
        if most is not None and self._links[address] >= most:
            return False
        self._links[address] += 1
        return True

    def close(self, address: str) -> None:
        """Subtract a link of an address that has ended."""
        self._links[address] -= 1
        if not self._links[address]:
            del self._links[address]

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
        return max(0.0, spent - (time.monotonic() - counted) * most / HOUR)
