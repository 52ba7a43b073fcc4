"""The hashes by which a Go server knew the secrets of its devices: slow ones, replaced by ours at the first login."""

from __future__ import annotations

import hashlib
import time

from django.db.models import F

from ...models import Node
from ...protocol.values import decode_base32
from ..queue.batch import Batch

ROUNDS = 22_389
ROUNDS_AT_ONCE = 500  # about 0.3 ms
PAUSE = 0.0005  # seconds, in which the other threads of the process go on


def old_hash(nodeid: str) -> bytes:
    """Return the hash that a Go server stored of a nodeid. Run it in a thread: it takes about 50 ms.

    Most of that is pauses: otherwise it would keep the interpreter from the event loop for 5 ms at a time.
    """
    digest = decode_base32(nodeid)
    for count in range(ROUNDS):
        if count % ROUNDS_AT_ONCE == 0:
            time.sleep(PAUSE)
        digest = hashlib.sha256(digest).digest()
    return digest


def expects_old_secret(uid: str, *, batch: Batch | None = None) -> bool:
    """Return whether a user has a device of a Go server that has never logged in here."""
    return Node.objects.filter(user__uid=uid, old_secret=F("secret"), dropped=None).exists()
