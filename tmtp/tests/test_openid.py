"""id_tokens: each rule of OpenID Connect Core 3.1.3.7, and forged tokens, with a JWKS served over HTTP."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from django.core.exceptions import ImproperlyConfigured

from tmtp.openid import tokens
from tmtp.openid.providers import OpenID, SiteClient, parse_settings
from tmtp.openid.tokens import OpenIDError, Verifier

pytestmark = pytest.mark.once

NOW = 1_700_000_000
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PRIVATE: dict[str, Any] = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa-2": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa-small": rsa.generate_private_key(public_exponent=65537, key_size=1024),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ec-384": ec.generate_private_key(ec.SECP384R1()),
}


def public_jwk(kid: str | None, name: str | None = None, **more: Any) -> dict[str, Any]:
    key = PRIVATE[name or str(kid)]
    algorithm: Any = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    jwk = {
        name: value for name, value in algorithm.to_jwk(key.public_key(), as_dict=True).items() if name != "key_ops"
    }
    return jwk | ({"kid": kid} if kid else {}) | more


def encode(claims: Any, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a token made by hand, which PyJWT would refuse to make."""
    parts = [json.dumps(header).encode(), claims if isinstance(claims, bytes) else json.dumps(claims).encode()]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Jwks:
    """A provider's JWKS endpoint. It serves `keys` or `body` with `status`, and counts requests in `hits`."""

    def __init__(self) -> None:
        self.hold = threading.Event()  # while it is cleared, answers wait
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with owner.lock:
                    owner.hits += 1
                owner.hold.wait(10)
                body = owner.body if owner.body is not None else json.dumps({"keys": owner.keys}).encode()
                with contextlib.suppress(ConnectionError):  # the client may have given up
                    self.answer(body)

            def answer(self, body: bytes) -> None:
                self.send_response(owner.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None: ...

        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"
        self.reset()

    def reset(self) -> None:
        self.keys = [public_jwk("rsa"), public_jwk("ec")]
        self.body: bytes | None = None
        self.status, self.hits = 200, 0
        self.hold.set()


@pytest.fixture(scope="module")
def jwks_server() -> Iterator[Jwks]:
    jwks = Jwks()
    thread = threading.Thread(target=jwks.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield jwks
    jwks.server.shutdown()
    jwks.server.server_close()
    thread.join()


@pytest.fixture
def jwks(jwks_server: Jwks, monkeypatch: pytest.MonkeyPatch) -> Jwks:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    jwks_server.reset()
    return jwks_server


@pytest.fixture
def clock() -> Clock:
    return Clock()


def entry(**change: Any) -> dict[str, Any]:
    """Return a provider's entry in the settings. Members changed to None are left out."""
    whole = {
        "label": "Example",
        "login": ["https://example.com/authorize", "response_type=code", "scope=openid"],
        "token": ["https://example.com/token", "grant_type=authorization_code"],
        "std": ["client_id=our-id", "redirect_uri=http://localhost:8123/u"],
        "keys": "https://example.com/keys",
        "iss": "https://example.com/",
        "aud": "our-id",
    } | change
    return {name: value for name, value in whole.items() if value is not None}


def make(clock: Clock, *entries: dict[str, Any], **more: Any) -> Verifier:
    return Verifier(parse_settings({"auth": 1, "authby": list(entries)}), clock, **more)


@pytest.fixture
def verifier(jwks: Jwks, clock: Clock) -> Verifier:
    return make(clock, entry(keys=jwks.url))


def claims(**change: Any) -> dict[str, Any]:
    whole = {"iss": "https://example.com/", "aud": "our-id", "sub": "ada", "exp": NOW + 300, "iat": NOW} | change
    return {name: value for name, value in whole.items() if value is not None}


def token(
    key: str = "rsa", alg: str | None = None, headers: dict[str, Any] | None = None, kid: Any = "=", **change: Any
) -> str:
    """Return a token signed by a key of PRIVATE. Its kid is the key's name unless given; None leaves it out."""
    kid = key if kid == "=" else kid
    alg = alg or ("RS256" if key.startswith("rsa") else "ES256")
    header = ({"kid": kid} if kid is not None else {}) | (headers or {})
    return jwt.encode(claims(**change), PRIVATE[key], alg, header)


def refused(verifier: Verifier, id_token: Any, reason: str, nonce: str | None = None) -> None:
    with pytest.raises(OpenIDError, match=reason) as caught:
        verifier.verify(id_token, nonce)
    if isinstance(id_token, str) and len(id_token) > 40:
        assert not any(part and part in str(caught.value) for part in id_token.split(".")), "the token leaks"


# --- settings


@pytest.mark.parametrize("value", [{}, {"auth": 0}, {"auth": 0, "authby": None}, {"auth": 0, "authby": []}])
def test_without_openid(value: dict[str, Any]) -> None:
    assert parse_settings(value) == OpenID(0, False, ())
    assert parse_settings(value).announce() == {}


def test_announcement() -> None:
    expected = {
        "label": "Example",
        "login": [
            "https://example.com/authorize",
            "response_type=code&scope=openid&client_id=our-id&redirect_uri=http://localhost:8123/u",
        ],
        "token": [
            "https://example.com/token",
            "grant_type=authorization_code&client_id=our-id&redirect_uri=http://localhost:8123/u",
        ],
    }
    assert parse_settings({"auth": 1, "authby": [entry()]}).announce() == {"auth": 1, "authby": [expected]}
    assert parse_settings({"auth": 2, "authby": [{}, entry()]}).announce() == {"auth": 2, "authby": [expected]}
    assert parse_settings({"auth": 0, "authby": [entry()]}).announce() == {}


def test_announcement_without_std() -> None:
    [announced] = parse_settings({"auth": 1, "authby": [entry(std=None)]}).announce()["authby"]
    assert announced["token"] == ["https://example.com/token", "grant_type=authorization_code"]


@pytest.mark.parametrize("first", [{}, {"#": "authentication optional (for testing)"}])
def test_first_empty_provider_makes_it_optional(first: dict[str, Any]) -> None:
    parsed = parse_settings({"auth": 1, "authby": [first, entry()]})
    assert parsed.optional and [provider.label for provider in parsed.providers] == ["Example"]
    alone = parse_settings({"auth": 1, "authby": [first]})
    assert alone == OpenID(1, True, ()) and alone.announce() == {}


def test_twenty_six_providers() -> None:
    assert len(parse_settings({"auth": 1, "authby": [{}] + [entry()] * 26}).providers) == 26
    with pytest.raises(ImproperlyConfigured, match="more than 26"):
        parse_settings({"auth": 1, "authby": [entry()] * 27})


@pytest.mark.parametrize(
    ("alg", "parsed"),
    [(None, ("RS256", "ES256")), ("PS256", ("PS256",)), (["ES384", "EdDSA"], ("ES384", "EdDSA"))],
)
def test_algorithms(alg: Any, parsed: tuple[str, ...]) -> None:
    assert parse_settings({"auth": 1, "authby": [entry(alg=alg)]}).providers[0].algorithms == parsed


@pytest.mark.parametrize(
    "alg", ["HS256", "none", "", [], ["RS256", "HS512"], ["RS256", None], [["RS256"]], 5, "rs256"]
)
def test_algorithms_refused(alg: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r'authby\[0\]: "alg" is .* use one or more of RS256, '):
        parse_settings({"auth": 1, "authby": [entry(alg=alg)]})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "give a dict"),
        ([], "give a dict"),
        ({"auht": 1}, "give a dict"),
        ({"auth": 3, "authby": [entry()]}, '"auth" is 3: use 0'),
        ({"auth": "1", "authby": [entry()]}, "\"auth\" is '1': use 0"),
        ({"auth": True, "authby": [entry()]}, '"auth" is True: use 0'),
        ({"auth": 1}, "add one"),
        ({"auth": 2, "authby": []}, "add one"),
        ({"auth": 1, "authby": entry()}, '"authby" must be a list'),
        ({"auth": 1, "authby": "x"}, '"authby" must be a list'),
        ({"auth": 1, "authby": ["x"]}, '"authby" must be a list'),
        ({"auth": 1, "authby": [entry(), {}]}, r'authby\[1\] needs "label"'),
        ({"auth": 1, "authby": [{}, entry(label="")]}, r'authby\[1\] needs "label"'),
        ({"auth": 1, "authby": [entry(keys=None)]}, r'authby\[0\] needs "keys"'),
        ({"auth": 1, "authby": [entry(iss=None)]}, 'needs "iss"'),
        ({"auth": 1, "authby": [entry(aud=["our-id"])]}, 'needs "aud"'),
        ({"auth": 1, "authby": [entry(login=None)]}, 'needs "login"'),
        ({"auth": 1, "authby": [entry(login="https://example.com")]}, '"login" must be a list'),
        ({"auth": 1, "authby": [entry(token=[])]}, 'needs "token"'),
        ({"auth": 1, "authby": [entry(token=["https://example.com/token"], std=[])]}, 'needs "token"'),
        ({"auth": 1, "authby": [entry(std=[""])]}, '"std" must be a list'),
        ({"auth": 1, "authby": [entry(keys="file:///etc/passwd")]}, '"keys" must be the https URL'),
        ({"auth": 1, "authby": [{}, entry(algs="RS256")]}, r"authby\[1\] has an unknown member 'algs': use label, "),
        ({"auth": 1, "authby": [entry(Label="x")]}, "unknown member 'Label'"),
        ({"auth": 1, "authby": [{**entry(), 5: "x"}]}, "unknown member 5"),
    ],
)
def test_settings_refused(value: Any, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        parse_settings(value)


def test_a_website_s_own_sign_in_is_not_announced() -> None:
    site = {"client_id": "web", "client_secret": "hush", "scope": "openid email"}
    openid = parse_settings({"auth": 1, "authby": [entry(site=site), entry(label="Plain"), entry(label="B", site={})]})
    web, plain, same = openid.providers
    assert web.site == SiteClient(
        "example", "web", "https://example.com/authorize", "https://example.com/token", "openid email", "hush"
    )
    assert web.for_site().aud == "web" and web.aud == "our-id"
    assert plain.site is None
    assert same.site and same.site.client_id == "our-id" and same.site.client_secret is None
    assert "hush" not in json.dumps(openid.announce()) + repr(openid)


@pytest.mark.parametrize(
    ("site", "why"),
    [
        (5, "must be a dict"),
        ({"secret": "hush"}, "unknown member 'secret': use slug, client_id"),
        ({"client_secret": ["hush"]}, 'needs "client_secret", a string'),
        ({"slug": "a/b"}, "use a to z, digits"),
        ({"scope": "email"}, 'the word "openid"'),
        ({"login": "https://example.com/?a=b"}, "without parameters"),
        ({"token": "http://example.com/token"}, "must be an https URL"),
    ],
)
def test_a_website_s_own_sign_in_refused(site: Any, why: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf'authby\[0\]: "site".*{why}') as caught:
        parse_settings({"auth": 1, "authby": [entry(site=site)]})
    assert "hush" not in str(caught.value)


def test_two_providers_of_one_address_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="two providers have the slug 'example'"):
        parse_settings({"auth": 1, "authby": [entry(site={}), entry(site={})]})


@pytest.mark.parametrize(
    ("jwks", "why"),
    [
        ({}, "must be a JWKS"),
        ({"keys": []}, "must be a JWKS"),
        ({"keys": {}}, "must be a JWKS"),
        ({"keys": ["rsa"]}, "must be a JWKS"),
        ({"keys": [public_jwk("rsa"), public_jwk("ec", d="AQ")]}, "private key"),
        ({"keys": [{"kty": "oct", "k": "AQ"}]}, "private key"),
        ({"keys": [public_jwk("ec-384")]}, "no key for RS256 or ES256"),
        ({"keys": [public_jwk("rsa", x5c=b"")]}, "JSON"),
    ],
)
def test_keys_in_the_settings_refused(jwks: dict[str, Any], why: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf'authby\[0\]: "keys" .*{why}'):
        parse_settings({"auth": 1, "authby": [entry(keys=jwks)]})


@pytest.mark.parametrize(
    "keys",
    [
        "http://x",
        "http://example.com/keys",
        "http://localhost.example.com/keys",
        "http://localhost@example.com/keys",
        "http://127.0.0.2/keys",
        "https://",
        "https:///keys",
        "https://[::1/keys",
        "https://example.com:port/keys",
        "https://example.com/my keys",
        " https://example.com/keys",
        "ftp://localhost/keys",
        "keys",
    ],
)
def test_keys_refused(keys: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r'authby\[0\]: "keys" must be the https URL of .* \(http only'):
        parse_settings({"auth": 1, "authby": [entry(keys=keys)]})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:80", "[::1]", "[::1]:8080"])
def test_keys_of_this_host_without_tls(host: str) -> None:
    for keys in (f"http://{host}/keys", f"https://{host}/keys"):
        assert parse_settings({"auth": 1, "authby": [entry(keys=keys)]}).providers[0].keys == keys


@pytest.mark.parametrize("name", ["login", "token"])
@pytest.mark.parametrize("url", ["t", "response_type=code", "file:///x", "https://", "//example.com/t", "https://a b"])
def test_login_and_token_begin_with_a_url(name: str, url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf'authby\[0\]: "{name}" begins with .*: it must be an https or'):
        parse_settings({"auth": 1, "authby": [entry(**{name: [url]})]})
    for scheme in ("https", "http"):
        parse_settings({"auth": 1, "authby": [entry(**{name: [f"{scheme}://id.example.com/x"]})]})


def test_comments_in_a_provider() -> None:
    plain = parse_settings({"auth": 1, "authby": [entry()]})
    assert parse_settings({"auth": 1, "authby": [entry(**{"#": "x", "#algs": ["y"]})]}) == plain


# --- a token's claims


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


def rs256(name: str) -> Callable[[bytes], bytes]:
    return lambda signed: PRIVATE[name].sign(signed, padding.PKCS1v15(), hashes.SHA256())


def test_nonce(verifier: Verifier) -> None:
    assert verifier.verify(token(nonce="n1"), nonce="n1").sub == "ada"
    refused(verifier, token(nonce="n2"), "nonce", nonce="n1")
    refused(verifier, token(), "nonce", nonce="n1")


# --- its form


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


# --- its signature


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


# --- its keys


def test_keys_are_cached(verifier: Verifier, jwks: Jwks) -> None:
    for _ in range(5):
        verifier.verify(token("rsa"))
        verifier.verify(token("ec"))
    assert jwks.hits == 1


def test_rotated_key_is_fetched_at_a_limited_rate(verifier: Verifier, jwks: Jwks, clock: Clock) -> None:
    verifier.verify(token("rsa"))
    jwks.keys = [public_jwk("rsa-2")]
    for _ in range(3):
        refused(verifier, token("rsa-2"), "no key")
    clock.now += 29.9
    refused(verifier, token("rsa-2"), "no key")
    assert jwks.hits == 1
    clock.now += 0.1
    assert verifier.verify(token("rsa-2")).sub == "ada"
    refused(verifier, token("rsa"), "no key")
    assert jwks.hits == 2


def test_unknown_kids_do_not_flood_the_provider(verifier: Verifier, jwks: Jwks, clock: Clock) -> None:
    for second in range(0, 95, 5):
        clock.now = NOW + second
        refused(verifier, token("rsa", kid=f"made-up-{second}"), "no key")
    assert jwks.hits == 4  # at 0, 30, 60 and 90 s


def test_withdrawn_key_stops_working(verifier: Verifier, jwks: Jwks, clock: Clock) -> None:
    verifier.verify(token("rsa"))
    jwks.keys = [public_jwk("rsa-2")]
    clock.now += 299
    assert verifier.verify(token("rsa")).sub == "ada"
    clock.now += 1
    refused(verifier, token("rsa"), "no key")


def test_clock_set_back(verifier: Verifier, jwks: Jwks, clock: Clock) -> None:
    clock.now += 86400
    refused(verifier, token("rsa"), "exp is past")
    clock.now = float(NOW)
    jwks.keys = [public_jwk("rsa-2")]
    assert verifier.verify(token("rsa-2")).sub == "ada"


def broken(jwks: Jwks, how: str) -> None:
    bodies = {
        "no json": b"<html>",
        "no keys": b'{"keys":[]}',
        "keys 5": b'{"keys":5}',
        "a list": b"[]",
        "deep": b"[" * 99999,
    }
    jwks.body = bodies.get(how)
    jwks.status = {"500": 500, "404": 404, "redirect": 302}.get(how, 200)


BROKEN = ["500", "404", "redirect", "no json", "no keys", "keys 5", "a list", "deep"]


@pytest.mark.parametrize("how", BROKEN)
def test_old_keys_outlive_a_failed_refetch(
    verifier: Verifier, jwks: Jwks, clock: Clock, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    verifier.verify(token("rsa"))
    broken(jwks, how)
    clock.now += 3600
    for _ in range(3):
        assert verifier.verify(token("rsa", exp=NOW + 9999)).sub == "ada"
        refused(verifier, token("rsa-2"), "no key")
    assert jwks.hits == 2, "a failed fetch counts too"
    assert f"OpenID keys not fetched from {jwks.url} (2 known)" in caplog.text


@pytest.mark.parametrize("how", BROKEN)
def test_keys_never_fetched(verifier: Verifier, jwks: Jwks, clock: Clock, how: str) -> None:
    broken(jwks, how)
    for _ in range(3):
        refused(verifier, token(), "keys are not to be had")
    assert jwks.hits == 1
    jwks.reset()
    clock.now += 30
    assert verifier.verify(token()).sub == "ada"


def test_provider_down(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/keys"
        refused(make(clock, entry(keys=url)), token(), "keys are not to be had")


def test_provider_that_does_not_answer(verifier: Verifier, jwks: Jwks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KEYS_TIMEOUT", 0.05)
    jwks.hold.clear()
    refused(verifier, token(), "keys are not to be had")
    jwks.hold.set()


def test_threads_share_one_fetch(verifier: Verifier, jwks: Jwks) -> None:
    start = threading.Barrier(4)

    def verify(key: str) -> str:
        start.wait(10)
        return verifier.verify(token(key)).sub

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(verify, ["rsa", "ec", "rsa", "ec"])) == ["ada"] * 4
    assert jwks.hits == 1


def test_a_slow_refetch_holds_up_nobody_else(clock: Clock) -> None:
    begun, proceed = threading.Event(), threading.Event()
    answers = iter([[public_jwk("rsa")], [public_jwk("rsa"), public_jwk("rsa-2")]])

    def fetch(url: str) -> Any:
        keys = next(answers)
        if len(keys) > 1:
            begun.set()
            assert proceed.wait(10)
        return {"keys": keys}

    verifier = make(clock, entry(), fetch=fetch)
    verifier.verify(token("rsa"))
    clock.now += 300
    with ThreadPoolExecutor(2) as pool:
        newcomers = [pool.submit(verifier.verify, token("rsa-2")) for _ in range(2)]
        assert begun.wait(10)
        assert verifier.verify(token("rsa")).sub == "ada"  # its key is known, though the keys are due for a refetch
        assert not any(newcomer.done() for newcomer in newcomers)
        proceed.set()
        assert [newcomer.result(10).sub for newcomer in newcomers] == ["ada", "ada"]
