"""Make, renew, revoke and check tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from tmtp.services.queue import limit_counts

from .conf import conf
from .errors import Refused
from .models import Token

PREFIX = "tmtp_"  # by which scanners of source code recognise a token
USED_EVERY = timedelta(minutes=1)  # how exact `last_used` is


def create(
    name: str,
    scopes: Iterable[str],
    expires: datetime | None = None,
    requests_per_minute: int | None = None,
) -> tuple[Token, str]:
    """Create a token. Return it and its secret, which cannot be read again."""
    secret = _new_secret()
    token = Token.objects.create(
        name=name,
        digest=_digest(secret),
        scopes=sorted(set(scopes)),
        expires=expires,
        requests_per_minute=requests_per_minute,
    )
    return token, secret


def give_secret(token: Token) -> str:
    """Give a token another secret, and return it. The old one, if there is one, is refused from now on."""
    secret = _new_secret()
    token.digest = _digest(secret)
    if token.pk:
        Token.objects.filter(pk=token.pk).update(digest=token.digest)
    return secret


def revoke(token: Token) -> None:
    """Refuse a token from now on, for good. What was created with it stays."""
    Token.objects.filter(pk=token.pk, revoked=None).update(revoked=timezone.now())


def authenticate(secret: str) -> Token:
    """Return the token that has this secret, and note that it was used. Raise Refused if there is none in use.

    The look-up is by hash. So its time says nothing about other secrets.
    """
    now = timezone.now()
    in_use = Token.objects.filter(Q(expires=None) | Q(expires__gt=now), revoked=None)
    token = in_use.filter(digest=_digest(secret)).first()
    if token is None:
        raise Refused("token_refused")
    if token.last_used is None or token.last_used < now - USED_EVERY:
        Token.objects.filter(pk=token.pk).update(last_used=now)
    return token


@transaction.atomic
def count_request(token: Token) -> None:
    """Count a request, over all processes. Raise Refused if there are too many; that one is not counted."""
    most = token.requests_per_minute or conf.REQUESTS_PER_MINUTE
    if most is not None and limit_counts.spend([("api_token", str(token.pk), 1.0, most / 60)])[0] > most:
        raise Refused("too_many_requests")


def token_of(request: HttpRequest) -> Token:
    """Return the token that a request was made with, where django-ninja keeps it."""
    token: Token = request.auth  # type: ignore[attr-defined]
    return token


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
