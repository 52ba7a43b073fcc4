"""id_tokens: each rule of OpenID Connect Core 3.1.3.7 about claims, and what is no token."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from typing import Any

import pytest

from tmtp.openid.tokens import Verifier
from tmtp.tests import id_tokens
from tmtp.tests.id_tokens import NOW, P256_ORDER, claims, encode, refused, rs256, token

pytestmark = pytest.mark.once
clock, jwks, jwks_server, verifier = id_tokens.clock, id_tokens.jwks, id_tokens.jwks_server, id_tokens.verifier


@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_sound_token(verifier: Verifier, key: str) -> None:
    id_token = token(key)
    got = verifier.verify(id_token)
    assert (got.iss, got.sub, got.exp, got.iat) == ("https://example.com/", "ada", NOW + 300, NOW)
    assert got.token_hash == hashlib.sha256(id_token.rpartition(".")[0].encode()).digest()
    with pytest.raises(dataclasses.FrozenInstanceError):
        got.sub = "bob"  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"aud": ["our-id"]},
        {"aud": ["our-id"], "azp": "our-id"},
        {"aud": "our-id", "azp": "our-id"},
        {"aud": ["other", "our-id"], "azp": "our-id"},
        {"exp": NOW - 59},
        {"iat": NOW + 60},
        {"nbf": NOW + 60},
        {"nbf": NOW - 5},
        {"sub": "s" * 255},
        {"nonce": "unasked"},
    ],
)
def test_claims_accepted(verifier: Verifier, change: dict[str, Any]) -> None:
    assert verifier.verify(token(**change)).iss == "https://example.com/"


def test_times_with_fractions_are_cut(verifier: Verifier) -> None:
    got = verifier.verify(token(exp=NOW + 300.9, iat=NOW + 0.5))
    assert (got.exp, got.iat) == (NOW + 300, NOW) and type(got.exp) is type(got.iat) is int


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iss": "https://example.com"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "aud or azp"),
        ({"aud": None}, "aud or azp"),
        ({"aud": []}, "aud or azp"),
        ({"aud": {"our-id": 1}}, "aud or azp"),
        ({"aud": ["other"], "azp": "our-id"}, "aud or azp"),
        ({"aud": ["our-id", "other"]}, "aud or azp"),
        ({"aud": ["our-id", "other"], "azp": "other"}, "aud or azp"),
        ({"aud": "our-id", "azp": "other"}, "aud or azp"),
        ({"aud": "our-id", "azp": ["our-id"]}, "aud or azp"),
        ({"exp": None}, "exp is missing"),
        ({"exp": NOW - 60}, "exp is past"),
        ({"exp": True}, "exp is not a time"),
        ({"exp": 1e300}, "exp is not a time"),
        ({"exp": float("nan")}, "exp is not a time"),
        ({"exp": float("inf")}, "exp is not a time"),
        ({"exp": -5}, "exp is not a time"),
        ({"iat": None}, "iat is missing"),
        ({"iat": NOW + 61}, "iat is in the future"),
        ({"iat": False}, "iat is not a time"),
        ({"nbf": NOW + 61}, "nbf is in the future"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "s" * 256}, "sub"),
        ({"sub": "a\0b"}, "sub"),
        ({"sub": "\ud800"}, "sub"),
    ],
)
def test_claims_refused(verifier: Verifier, change: dict[str, Any], reason: str) -> None:
    refused(verifier, token(**change), reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"exp": str(NOW + 300)}, "exp is not a time"),
        ({"exp": [NOW]}, "exp is not a time"),
        ({"iat": str(NOW)}, "iat is not a time"),
        ({"nbf": str(NOW)}, "nbf is not a time"),
        ({"sub": 5}, "sub"),
        ({"iss": ["https://example.com/"]}, "iss"),
    ],
)
def test_claims_of_wrong_type(verifier: Verifier, change: dict[str, Any], reason: str) -> None:
    refused(verifier, encode(claims(**change), {"alg": "RS256", "kid": "rsa"}, rs256("rsa")), reason)


def test_nonce(verifier: Verifier) -> None:
    assert verifier.verify(token(nonce="n1"), nonce="n1").sub == "ada"
    refused(verifier, token(nonce="n2"), "nonce", nonce="n1")
    refused(verifier, token(), "nonce", nonce="n1")


# form


@pytest.mark.parametrize(
    "id_token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800",
        None,
        5,
        b"a.b.c",
        {"a": 1},
        "x" * 5000,
    ],
)
def test_not_a_token(verifier: Verifier, id_token: Any) -> None:
    refused(verifier, id_token, "malformed|too long or not a signed JWT")


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b"\xff", b"[" * 9000, b'{"exp":' + b"9" * 5000 + b"}"])
def test_payload_not_an_object(verifier: Verifier, body: bytes) -> None:
    refused(verifier, encode(body, {"alg": "RS256", "kid": "rsa"}, rs256("rsa")), "malformed|too long or not")


def test_size(verifier: Verifier) -> None:
    assert verifier.verify(token(pad="x" * 11_000)).sub == "ada"
    refused(verifier, token(pad="x" * 12_500), "too long")


@pytest.mark.parametrize("headers", [{"kid": 5}, {"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}])
def test_header_not_understood(verifier: Verifier, headers: dict[str, Any]) -> None:
    header = {"alg": "RS256", "kid": "rsa"} | headers
    refused(verifier, encode(claims(), header, rs256("rsa")), "malformed")


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", ["JWT"]])
def test_another_kind_of_token(verifier: Verifier, typ: Any) -> None:
    refused(verifier, encode(claims(), {"alg": "RS256", "kid": "rsa", "typ": typ}, rs256("rsa")), "typ")


def test_one_token_has_one_hash(verifier: Verifier) -> None:
    """Otherwise a token could be used twice, with padding or with the other form (r, n - s) of its ECDSA signature."""
    id_token = token("ec")
    for equals in ("=", "=="):
        refused(verifier, id_token + equals, "not a signed JWT")
    signed, _, signature = id_token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin_s = P256_ORDER - int.from_bytes(raw[32:], "big")
    twin = signed + "." + base64.urlsafe_b64encode(raw[:32] + twin_s.to_bytes(32, "big")).rstrip(b"=").decode()
    assert twin != id_token
    assert verifier.verify(twin).token_hash == verifier.verify(id_token).token_hash
    assert verifier.verify(token("ec", sub="bob")).token_hash != verifier.verify(id_token).token_hash
