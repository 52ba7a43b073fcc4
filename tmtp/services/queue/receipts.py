"""Receipts: how the service recognises a request that is sent again (tmtp.md section 7).

A client sends a request again when the first ack was lost, with the link or with the server. A request of the same
node with the same op, id, header and data within ten minutes is the same request, and gets the number of the first
one. A receipt is written in the transaction of its request, so both are kept or both are lost.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..storage import sql
from ..storage.clock import clock
from .batch import Batch, Service

KEPT_NANOSECONDS = 600 * 1_000_000_000
PURGED_AT_ONCE = 2000


class Receipts:
    """The receipts of a batch of requests. One query reads them, and one statement saves the new ones.

    A request is a node's id and the digest of the request. A request without a digest has no receipt.
    """

    def __init__(self, requests: Iterable[tuple[int | None, bytes]]) -> None:
        self._keys = {(node, digest): key_of(node, digest) for node, digest in requests if node is not None and digest}
        self._known: dict[tuple[int | None, bytes], int] = {}  # numbers, by request
        self._new: list[tuple[int, bytes, int]] = []
        rows = sql.receipts(set(self._keys.values())) if self._keys else []
        if rows:
            oldest = clock.now() - KEPT_NANOSECONDS
            found = {(key, bytes(digest)): number for key, digest, number in rows if number > oldest}
            for request, key in self._keys.items():
                if (key, request[1]) in found:
                    self._known[request] = found[key, request[1]]

    def number(self, node: int | None, digest: bytes) -> int | None:
        """Return the number that this request was given before, or None if it is new."""
        return self._known.get((node, digest))

    def add(self, node: int | None, digest: bytes, number: int) -> None:
        """Add a receipt: the number that one of the requests was given."""
        if node is not None and digest:
            self._known[node, digest] = number
            self._new.append((self._keys[node, digest], digest, number))

    def save(self) -> None:
        """Write the receipts that were added."""
        sql.add_receipts(self._new)


def once(node: int | None, digest: bytes, make: Service[int], *, batch: Batch | None = None) -> int:
    """Call `make` and return its message's number. For a request that came before, return the number of then."""
    receipts = Receipts([(node, digest)])
    number = receipts.number(node, digest)
    if number is None:
        number = make(batch=batch)
        receipts.add(node, digest, number)
        receipts.save()
    return number


def key_of(node: int, digest: bytes) -> int:
    """Return the number by which the receipts of a request are found. Another request may have the same."""
    return (node << 32 | int.from_bytes(digest[:4], "big")) & 0x7FFF_FFFF_FFFF_FFFF


def purge() -> int:
    """Delete some receipts older than ten minutes, and return how many: PURGED_AT_ONCE if there may be more."""
    return sql.purge_receipts(clock.now() - KEPT_NANOSECONDS, PURGED_AT_ONCE)
