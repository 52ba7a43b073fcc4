"""Encrypt a secret that waits in a queue, so that it cannot be read in the database: a new node's nodeid (op 3).

The key is derived from the site's SECRET_KEY. Keys in SECRET_KEY_FALLBACKS still decrypt what they encrypted.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


def seal(secret: str) -> str:
    """Return the secret, encrypted, as ASCII text."""
    return _fernet().encrypt(secret.encode()).decode("ascii")


def unseal(sealed: str) -> str | None:
    """Return the secret that was sealed, or None if the site's SECRET_KEY has changed since."""
    from cryptography.fernet import InvalidToken

    try:
        return _fernet().decrypt(sealed).decode()
    except InvalidToken:
        return None


def _fernet() -> MultiFernet:
    return _fernet_of(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=4)
def _fernet_of(*keys: str) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet  # takes 8 MB of memory, and most processes never need it

    digests = [hashlib.blake2b(str(key).encode(), digest_size=32, person=b"tmtp.sealing").digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
