"""Help for tests of OpenID: id_tokens, sound and forged, keys, and a provider's JWKS served over HTTP."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tmtp.openid.providers import parse_settings
from tmtp.openid.tokens import OpenIDError, Verifier

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


def rs256(name: str) -> Callable[[bytes], bytes]:
    return lambda signed: PRIVATE[name].sign(signed, padding.PKCS1v15(), hashes.SHA256())


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
                owner.hold.wait(60)
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
