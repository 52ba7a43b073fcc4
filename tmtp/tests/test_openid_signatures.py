"""Forged id_tokens: signatures, algorithms and kinds of keys."""

from __future__ import annotations

import functools
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tmtp.openid.tokens import Verifier
from tmtp.tests import id_tokens
from tmtp.tests.id_tokens import PRIVATE, Clock, Jwks, claims, encode, entry, make, public_jwk, refused, rs256, token

pytestmark = pytest.mark.once
clock, jwks, jwks_server, verifier = id_tokens.clock, id_tokens.jwks, id_tokens.jwks_server, id_tokens.verifier


def test_forged_signature(verifier: Verifier) -> None:
    refused(verifier, token("rsa-2", kid="rsa"), "signature")
    refused(verifier, encode(claims(), {"alg": "RS256", "kid": "rsa"}, lambda _: b"\0" * 256), "signature")
    head, _, signature = token().split(".")
    refused(verifier, ".".join([head, token(sub="eve").split(".")[1], signature]), "signature")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, ["RS256"], 5])
def test_alg_none(verifier: Verifier, jwks: Jwks, alg: Any) -> None:
    header = {"alg": alg, "kid": "rsa"}
    refused(verifier, encode(claims(), header, lambda _: b"\0"), "alg")
    refused(verifier, encode(claims(), header, rs256("rsa")), "alg")
    refused(verifier, encode(claims(), header, lambda _: b""), "not a signed JWT")
    assert jwks.hits == 0


def test_hs256_with_the_public_key_as_secret(verifier: Verifier) -> None:
    public = PRIVATE["rsa"].public_key()
    forms = (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1)
    secrets = [public.public_bytes(serialization.Encoding.PEM, form) for form in forms]
    for secret in [*secrets, json.dumps(public_jwk("rsa")).encode()]:
        sign = functools.partial(hmac.digest, secret, digest="sha256")
        forged = encode(claims(), {"alg": "HS256", "kid": "rsa"}, sign)
        refused(verifier, forged, "alg is not allowed")


def test_alg_is_pinned_by_the_provider(jwks: Jwks, clock: Clock) -> None:
    verifier = make(clock, entry(keys=jwks.url, alg="ES256"))
    assert verifier.verify(token("ec")).sub == "ada"
    refused(verifier, token("rsa"), "alg is not allowed")
    refused(make(clock, entry(keys=jwks.url)), token("rsa", alg="RS512"), "alg is not allowed")


def test_other_algorithms_with_a_key_that_names_none(jwks: Jwks, clock: Clock) -> None:
    jwks.keys = [public_jwk("rsa"), public_jwk("ec-384")]
    verifier = make(clock, entry(keys=jwks.url, alg=["PS256", "RS512", "ES384"]))
    assert verifier.verify(token("rsa", alg="PS256")).sub == "ada"
    assert verifier.verify(token("rsa", alg="RS512")).sub == "ada"
    assert verifier.verify(token("ec-384", alg="ES384")).sub == "ada"


@pytest.mark.parametrize(
    "jwk",
    [
        public_jwk("rsa", "ec"),
        public_jwk("rsa", alg="RS512"),
        public_jwk("rsa", use="enc"),
        public_jwk("rsa", d="AQAB"),
        public_jwk("rsa", kty=["RSA"]),
        {"kid": "rsa", "kty": "oct", "k": "c2VjcmV0", "alg": "RS256"},
    ],
    ids=["EC", "other alg", "encryption", "private", "kty a list", "symmetric"],
)
def test_key_of_a_wrong_kind(verifier: Verifier, jwks: Jwks, jwk: dict[str, Any]) -> None:
    jwks.keys = [jwk]
    refused(verifier, token("rsa"), "no key of the provider fits")


def test_curve_of_another_algorithm(verifier: Verifier, jwks: Jwks) -> None:
    jwks.keys = [public_jwk("ec", "ec-384")]
    refused(verifier, token("ec"), "no key of the provider fits")
    jwks.keys = [public_jwk("ec-384", crv="P-256")]
    refused(make(Clock(), entry(keys=jwks.url)), token("ec", kid="ec-384"), "signature is not valid")


@pytest.mark.parametrize("jwk", [{"n": 5}, {"n": "!"}, {"e": ""}, {"n": None}])
def test_malformed_key(verifier: Verifier, jwks: Jwks, jwk: dict[str, Any]) -> None:
    jwks.keys = [public_jwk("rsa") | jwk]
    refused(verifier, token("rsa"), "signature is not valid")


def test_small_rsa_key(verifier: Verifier, jwks: Jwks) -> None:
    jwks.keys = [public_jwk("rsa-small")]
    with pytest.warns(UserWarning, match="1024 bits"):  # the warning when the token is made here
        id_token = token("rsa-small")
    refused(verifier, id_token, "signature is not valid")


def test_token_without_kid(verifier: Verifier, jwks: Jwks, clock: Clock) -> None:
    assert verifier.verify(token("rsa", kid=None)).sub == "ada"  # one RSA key, one EC key
    assert verifier.verify(token("ec", kid=None)).sub == "ada"
    refused(verifier, token("rsa-2", kid=None), "signature")
    jwks.keys = [public_jwk(None, "rsa")]
    assert make(clock, entry(keys=jwks.url)).verify(token("rsa", kid=None)).sub == "ada"
    jwks.keys = [public_jwk("rsa"), public_jwk("rsa-2")]
    refused(make(clock, entry(keys=jwks.url)), token("rsa", kid=None), "no key of the provider fits")


def test_providers_do_not_vouch_for_each_other(jwks: Jwks, clock: Clock) -> None:
    two = {"https://a/keys": [public_jwk("k", "rsa")], "https://b/keys": [public_jwk("k", "rsa-2")]}
    verifier = make(
        clock,
        entry(keys="https://a/keys", iss="https://a"),
        entry(keys="https://b/keys", iss="https://b"),
        entry(keys="https://b/keys", iss="https://b", aud="second-id", alg="PS256"),
        fetch=lambda url: {"keys": two[url]},
    )
    assert verifier.verify(token("rsa", kid="k", iss="https://a")).iss == "https://a"
    assert verifier.verify(token("rsa-2", kid="k", iss="https://b")).iss == "https://b"
    assert verifier.verify(token("rsa-2", "PS256", kid="k", iss="https://b", aud="second-id")).iss == "https://b"
    refused(verifier, token("rsa-2", kid="k", iss="https://a"), "signature")
    refused(verifier, token("rsa-2", kid="k", iss="https://b", aud="second-id"), "alg is not allowed")


def test_keys_in_the_settings(clock: Clock) -> None:
    """No keys are fetched, and tokens with other keys are refused."""
    verifier = make(clock, entry(keys={"keys": [public_jwk("rsa"), public_jwk("ec")]}), fetch=pytest.fail)
    for kid in ("rsa", "ec"):
        assert verifier.verify(token(kid)).sub == "ada"
    refused(verifier, token("rsa-2"), "no key of the provider fits")
