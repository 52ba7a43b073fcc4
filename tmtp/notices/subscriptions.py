"""The browsers that are subscribed to Web Push: each in one session, and no longer than that."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from django.db import transaction
from django.http import HttpRequest

from tmtp.web import sessions

from .endpoints import is_allowed
from .models import SESSION_MAX, Subscription

IN_SESSION = "tmtp_notices_subscription"  # the hash of the endpoint, which stays when the session gets another key
MOST = 20  # browsers of one member
AUTH_OCTETS = 16


class Malformed(ValueError):
    """A subscription that no browser has made, or whose address is not allowed."""


@transaction.atomic
def subscribe(request: HttpRequest, endpoint: Any, p256dh: Any, auth: Any) -> Subscription:
    """Subscribe the browser that makes a request. Its earlier subscription ends. Raise Malformed.

    If the member has MOST browsers, the one that was subscribed first is forgotten.
    """
    if not isinstance(endpoint, str) or not is_allowed(endpoint):
        raise Malformed("endpoint")
    if len(request.session.session_key or "") > SESSION_MAX:  # a session in a cookie, which nobody can end
        raise Malformed("session")
    keys = {"p256dh": _checked_point(p256dh), "auth": _checked_secret(auth)}
    unsubscribe(request)
    mine = Subscription.objects.filter(account=request.user)  # type: ignore[misc]  # a member
    for old in mine.order_by("-pk")[MOST - 1 :]:
        old.delete()
    row = {**keys, "endpoint": endpoint, "account": request.user, "session": request.session.session_key}
    made, _new = Subscription.objects.update_or_create(endpoint_hash=hash_of(endpoint), defaults=row)
    request.session[IN_SESSION] = made.endpoint_hash
    return made


def unsubscribe(request: HttpRequest) -> None:
    """End the subscription of the browser that makes a request."""
    subscribed = request.session.pop(IN_SESSION, None)
    if subscribed:
        Subscription.objects.filter(endpoint_hash=subscribed).delete()


def end_at_sign_out(request: HttpRequest | None = None, **_: Any) -> None:
    """End the subscription of a session. Receives Django's `user_logged_out`, before the session is deleted."""
    if request is not None and hasattr(request, "session"):
        unsubscribe(request)


def of_session(request: HttpRequest) -> Subscription | None:
    """Return the subscription of the browser that makes a request."""
    subscribed = request.session.get(IN_SESSION)
    mine = Subscription.objects.filter(endpoint_hash=subscribed, account=request.user)  # type: ignore[misc]
    found = mine.first() if subscribed else None
    if found and found.session != request.session.session_key:  # the password has been changed in this browser
        found.session = str(request.session.session_key)
        found.save(update_fields=["session"])
    return found


def is_signed_in(subscription: Subscription) -> bool:
    """Return whether the session is still the member's: neither ended, nor with a password that has been changed."""
    return sessions.is_signed_in(subscription.session, subscription.account_id)


def hash_of(endpoint: str) -> str:
    """Return the hash by which an endpoint is looked up: SHA-256, in hex digits."""
    return hashlib.sha256(endpoint.encode()).hexdigest()


def _checked_point(text: Any) -> str:
    """Return the public key of a browser. Raise Malformed unless it is a point on the curve P-256."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), _octets(text))
    except ValueError as error:
        raise Malformed("p256dh") from error
    return str(text)


def _checked_secret(text: Any) -> str:
    if len(_octets(text)) != AUTH_OCTETS:
        raise Malformed("auth")
    return str(text)


def _octets(text: Any) -> bytes:
    """Return what base64url stands for, at most 65 octets. Raise Malformed."""
    if not isinstance(text, str) or not text.isascii() or len(text) > 88:
        raise Malformed("key")
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise Malformed("key") from error
