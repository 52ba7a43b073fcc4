"""Recovery codes, for a member who has lost their other factors. Each works once; only hashes are stored."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from django.db import transaction

from ..models import RecoveryCode

COUNT = 8
OCTETS = 10  # 80 random bits: one round of SHA-256 is enough


@transaction.atomic
def make(user: Any) -> list[str]:
    """Replace the member's recovery codes by new ones, and return these, such as `abcd-efgh-ijkl-mnop`."""
    codes = [base64.b32encode(secrets.token_bytes(OCTETS)).decode().lower() for _ in range(COUNT)]
    user.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=digest(user, code)) for code in codes)
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]


def spend(user: Any, text: str) -> bool:
    """Return whether this is a recovery code of the member. It is none any more afterwards."""
    code = "".join(text.replace("-", "").split()).lower()
    return RecoveryCode.objects.filter(user=user, digest=digest(user, code)).delete()[0] == 1


def digest(user: Any, code: str) -> str:
    """Return the hash of a code without hyphens, which differs for each member."""
    return hashlib.sha256(f"{user.pk}:{code}".encode()).hexdigest()
