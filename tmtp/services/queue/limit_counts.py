"""What is counted under TMTP["LIMITS"], over all processes (the model `LimitCount`).

Each process counts in memory, and now and then adds what was spent there to the rows that all share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import lru_cache

from django.conf import settings

from ..storage import sql
from .batch import Batch

PURGED_AT_ONCE = 1000
Count = tuple[str, str]  # the name of a limit, and whom it applies to
Spent = tuple[str, str, float, float]  # a count, the amount, and what is given back each second


@lru_cache(16384)
def key_of(name: str, who: str) -> int:
    """Return the key of a count's row. With the site's secret, since there are few addresses to try."""
    secret = hashlib.sha256(settings.SECRET_KEY.encode()).digest()
    digest = hashlib.blake2b(f"{name}\0{who}".encode("utf-8", "replace"), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, signed=True)


def spend(rows: Sequence[Spent], *, batch: Batch | None = None) -> list[float]:
    """Add what was spent. Return what is spent now by all processes, for each row."""
    keys = [key_of(name, who) for name, who, _, _ in rows]
    total: dict[int, float] = dict(
        sql.spend([(key, amount, rate) for key, (_, _, amount, rate) in zip(keys, rows, strict=True)])
    )
    return [total[key] for key in keys]


def share_open(
    server: int,
    counts: Sequence[Count],
    links: Sequence[int],
    servers: Collection[int],
    *,
    batch: Batch | None = None,
) -> list[int]:
    """Note how many links a server has open, for each of the counts. Return how many the other `servers` have."""
    keys = [key_of(name, who) for name, who in counts]
    sql.set_open([(key, server, float(open_)) for key, open_ in zip(keys, links, strict=True)])
    others: dict[int, float] = dict(sql.open_at(keys, servers))
    return [int(others.get(key, 0)) for key in keys]


def purge(*, batch: Batch | None = None) -> int:
    """Delete rates of which everything was given back, at most PURGED_AT_ONCE. Return their number."""
    return sql.purge_counts(PURGED_AT_ONCE)
