"""The first login of a device that comes from a Go server, whose secret is known by a slow hash.

Computing the hash must not be a way to attack. It is done only for users who have such a device, for one login at a
time, in a thread that pauses, and not for an address that has failed too often.
"""

from __future__ import annotations

import asyncio
from functools import partial

from ..services.people import old_secrets
from ..store.interface import AnyStore
from .limits import Limits, network_of


class OldSecrets:
    """The slow hashes that are computed."""

    def __init__(self, store: AnyStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._one_at_a_time = asyncio.Lock()

    async def hash_of(self, uid: str, nodeid: str, address: str) -> bytes | None:
        """Return the old hash of a nodeid, None if no device of the user is waiting for it. Raise Unavailable."""
        if not await self._store.run(None, partial(old_secrets.expects_old_secret, uid), savepoint=False):
            return None
        async with self._one_at_a_time:
            if self._limits.exhausted("failed_logins_per_address", network_of(address)):
                return None
            return await asyncio.to_thread(old_secrets.old_hash, nodeid)
