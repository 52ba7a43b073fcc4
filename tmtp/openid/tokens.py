"""Verify the id_token of op 1 or 2, as OpenID Connect requires.

The rules are those of OpenID Connect Core 1.0 section 3.1.3.7 (the token), RFC 7519 section 4.1 (its claims) and
RFC 8725 section 3 (the algorithm is ours to choose, never the token's). Nothing here uses the database: the caller
makes sure that a token is used only once, and finds the user that iss and sub stand for. All of it is synchronous and
may fetch keys over HTTP, so call it from a worker thread, never on the event loop.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from .providers import KEY_TYPES, OpenID, Provider

logger = logging.getLogger(__name__)

LEEWAY = 60  # seconds that our clock and a provider's may differ; a token is valid until exp + LEEWAY
MAX_TOKEN = 16 * 1024  # octets
MAX_SUB = 255  # OpenID Connect Core, section 2
KEYS_COOLDOWN = 30  # seconds between two fetches of a provider's keys, successful or not
KEYS_LIFESPAN = 300  # seconds after which keys are fetched again, so that a withdrawn key stops working
KEYS_TIMEOUT = 5  # seconds
LATEST = 253402300799  # 9999-12-31, the last day that a datetime can hold
# header.payload.signature without padding. PyJWT accepts "=" too, which gives one token several spellings.
TOKEN_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class OpenIDError(Exception):
    """An id_token is refused. The text is a short reason for the log, without any part of the token."""


@dataclass(frozen=True)
class Claims:
    """The claims of a verified id_token. `exp` and `iat` are seconds since the epoch.

    `token_hash` is the SHA-256 of the signed part; remember it until exp + LEEWAY. It leaves out the signature: anyone
    can turn an ECDSA signature into another valid one, and the same token would then pass as a new one."""

    iss: str
    sub: str
    exp: int
    iat: int
    token_hash: bytes


class Verifier:
    """Verifies id_tokens of the providers in `openid`. One per process, shared by its worker threads.

    `clock` returns seconds since the epoch. `fetch` takes the URL of a JWKS and returns the JWKS as a dict, or raises
    OSError, ValueError or PyJWTError. The default is an HTTP GET without redirects, with KEYS_TIMEOUT."""

    def __init__(
        self, openid: OpenID, clock: Callable[[], float] = time.time, fetch: Callable[[str], Any] | None = None
    ) -> None:
        self._openid = openid
        self._clock = clock
        self._keys = {p.keys: _KeySet(p.keys, clock, _source(p.keys, fetch)) for p in openid.providers}

    def verify(self, id_token: str, nonce: str | None = None) -> Claims:
        """Return the claims of a valid token; raise OpenIDError for any other.

        If `nonce` is given, the token must have it. A token without `kid` is accepted only if its provider publishes
        exactly one key for its algorithm. This may take KEYS_TIMEOUT seconds, if keys have to be fetched."""
        header, payload = _parse(id_token)
        provider = self._provider_of(payload)
        self._check_signature(id_token, header, provider)  # from here on, the payload can be trusted
        exp, iat = _check_times(payload, self._clock())
        if nonce is not None and payload.get("nonce") != nonce:
            raise OpenIDError("nonce is another")
        signed = id_token.rpartition(".")[0].encode()
        return Claims(provider.iss, _subject(payload), exp, iat, hashlib.sha256(signed).digest())

    def _provider_of(self, payload: dict[str, Any]) -> Provider:
        """Return the provider with this iss and aud. They are not verified yet: its keys must have signed them."""
        issued = [provider for provider in self._openid.providers if provider.iss == payload.get("iss")]
        if not issued:
            raise OpenIDError("iss is not a provider of ours")
        for provider in issued:
            if _is_for(provider.aud, payload.get("aud"), payload.get("azp")):
                return provider
        raise OpenIDError("aud or azp is not our client id")

    def _check_signature(self, id_token: str, header: dict[str, Any], provider: Provider) -> None:
        alg = header.get("alg")
        if alg not in provider.algorithms:
            raise OpenIDError("alg is not allowed for this provider")
        # Not another kind of token of the same issuer and audience (logout+jwt, at+jwt): RFC 8725, section 3.11.
        if str(header.get("typ", "JWT")).upper() not in ("JWT", "APPLICATION/JWT"):
            raise OpenIDError("typ is not JWT")
        try:
            key = self._keys[provider.keys].find(header.get("kid"), alg)
            jwt.PyJWS().decode(id_token, key, [alg], {"verify_signature": True, "enforce_minimum_key_length": True})
        except jwt.PyJWTError as error:  # its text may quote the token, so report its type only
            raise OpenIDError(f"signature is not valid ({type(error).__name__})") from None


def _parse(id_token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims, unverified.

    The claims are checked below, not by PyJWT: it reads the system clock, takes strings for numbers, and ignores azp.
    """
    if not isinstance(id_token, str) or len(id_token) > MAX_TOKEN or not TOKEN_SHAPE.fullmatch(id_token):
        raise OpenIDError("id_token is too long or not a signed JWT")
    try:
        token = jwt.decode_complete(id_token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise OpenIDError(f"id_token is malformed ({type(error).__name__})") from None
    return token["header"], token["payload"]


def _is_for(client_id: str, aud: Any, azp: Any) -> bool:
    audiences = aud if isinstance(aud, list) else [aud]
    return client_id in audiences and (azp == client_id or (azp is None and len(audiences) == 1))


def _check_times(payload: dict[str, Any], now: float) -> tuple[int, int]:
    exp, iat = _instant(payload, "exp"), _instant(payload, "iat")
    if now >= exp + LEEWAY:
        raise OpenIDError("exp is past")
    if iat > now + LEEWAY:
        raise OpenIDError("iat is in the future")
    if payload.get("nbf") is not None and _instant(payload, "nbf") > now + LEEWAY:
        raise OpenIDError("nbf is in the future")
    return exp, iat


def _instant(payload: dict[str, Any], name: str) -> int:
    value = payload.get(name)
    if value is None:
        raise OpenIDError(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise OpenIDError(f"{name} is not a time")
    return int(value)


def _subject(payload: dict[str, Any]) -> str:
    sub = payload.get("sub")
    # Among what is not printable: NUL, which PostgreSQL cannot store, and lone surrogates, which no database can.
    if not isinstance(sub, str) or not 0 < len(sub) <= MAX_SUB or not sub.isprintable():
        raise OpenIDError("sub is missing, empty, too long or not text")
    return sub


class _KeySet:
    """The keys of one provider, as last fetched. Several threads use it.

    PyJWKClient only makes the HTTP request. Its cache drops old keys even if the provider is down, limits the rate of
    successful fetches only, blocks threads that need no fetch, and ignores keys without kid. Here, known keys stay
    until a fetch returns others, and there is at most one fetch per KEYS_COOLDOWN, from the first one on."""

    def __init__(self, url: str, clock: Callable[[], float], fetch: Callable[[str], Any]) -> None:
        self._url, self._clock, self._fetch = url, clock, fetch
        self._lock = threading.Lock()
        self._keys: list[dict[str, Any]] = []  # replaced, never mutated, so it can be read without the lock
        self._fetched = self._tried = -math.inf

    def find(self, kid: str | None, alg: str) -> jwt.PyJWK:
        """Return the key for a token with this header. Fetch keys if it is unknown, or if the known keys are old.

        Raise OpenIDError if there is none, PyJWTError if it is malformed."""
        jwk = self._match(kid, alg)
        if jwk is None or self._is_over(self._fetched, KEYS_LIFESPAN):
            self._refetch(wait=jwk is None)
            jwk = self._match(kid, alg)
        if jwk is None:
            raise OpenIDError("no key of the provider fits" if self._keys else "the provider's keys are not to be had")
        return jwt.PyJWK(jwk, alg)

    def _match(self, kid: str | None, alg: str) -> dict[str, Any] | None:
        fitting = [jwk for jwk in self._keys if _fits(jwk, alg)]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((jwk for jwk in fitting if jwk.get("kid") == kid), None)

    def _is_over(self, since: float, seconds: float) -> bool:
        return not 0 <= self._clock() - since < seconds  # below 0: the clock was set back

    def _refetch(self, wait: bool) -> None:
        """Fetch the keys, unless that was done or tried within KEYS_COOLDOWN.

        One thread at a time fetches. With `wait`, other threads wait for it; without, they return at once."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._is_over(self._tried, KEYS_COOLDOWN):
                self._tried = self._clock()
                self._keys = _keys_in(self._fetch(self._url))
                self._fetched = self._tried
        except (jwt.PyJWTError, OSError, ValueError, RecursionError) as error:
            logger.warning("OpenID keys not fetched from %s (%d known): %s", self._url, len(self._keys), error)
        finally:
            self._lock.release()


def _fits(jwk: dict[str, Any], alg: str) -> bool:
    # With "d" it is a private key: anyone who can read the JWKS could sign with it.
    typed = (jwk.get("kty"), jwk.get("crv")) == KEY_TYPES[alg] and "d" not in jwk
    return typed and jwk.get("alg") in (None, alg) and jwk.get("use") in (None, "sig")


def _keys_in(jwks: Any) -> list[dict[str, Any]]:
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    found = [jwk for jwk in keys if isinstance(jwk, dict)] if isinstance(keys, list) else []
    if not found:
        raise ValueError("not a JWKS, or one without keys")
    return found


def _source(keys: str, fetch: Callable[[str], Any] | None) -> Callable[[str], Any]:
    """Return the function that turns a provider's `keys` into a JWKS: json.loads if they are in the settings."""
    return json.loads if keys.startswith("{") else fetch or _fetch_keys


def _fetch_keys(url: str) -> Any:
    headers = {"Accept": "application/json", "User-Agent": "mnm-tmtp"}  # some providers refuse urllib's own
    return jwt.PyJWKClient(url, cache_jwk_set=False, headers=headers, timeout=KEYS_TIMEOUT).fetch_data()
