"""The key pair by which push services know the site (VAPID, RFC 8292)."""

from __future__ import annotations

import base64
import os
from email.utils import parseaddr
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from .conf import conf


class NoKey(Exception):
    """There is no usable key. The text says why."""


def key() -> Any:
    """Return the site's key pair, a py_vapid.Vapid02. Raise NoKey."""
    path = Path(conf.VAPID_KEY) if conf.VAPID_KEY else None
    if path is None:
        raise NoKey("TMTP_NOTICES[“VAPID_KEY”] is not set")
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise NoKey(f"cannot read {path} ({error.strerror})") from None


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int) -> Any:
    from py_vapid import Vapid02, VapidException  # an optional dependency, which a check asks for

    try:
        return Vapid02.from_pem(path.read_bytes())
    except (ValueError, TypeError, VapidException) as error:
        raise NoKey(f"{path} is no private key on the curve P-256, in PEM") from error


def public_key() -> str:
    """Return the public key as browsers take it (applicationServerKey), or an empty string if there is no key."""
    try:
        pair = key()
    except (NoKey, ImportError):
        return ""
    point = pair.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()


def contact() -> str:
    """Return where push services reach those who run the site: TMTP_NOTICES["CONTACT"], or the sender of mails."""
    return str(conf.CONTACT) or "mailto:" + parseaddr(settings.DEFAULT_FROM_EMAIL)[1]


def make(path: Path) -> None:
    """Write a new private key to a file that only its owner can read. Raise FileExistsError, and other OSErrors."""
    from py_vapid import Vapid02

    pair = Vapid02()
    pair.generate_keys()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pair.private_pem())
