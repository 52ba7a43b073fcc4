"""A provider, or an attacker between it and the site, gives false answers over HTTP, one at a time."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth import get_user_model
from django.urls import reverse

from accounts.openid import client as openid_client
from accounts.openid import identities

pytestmark = [pytest.mark.django_db, pytest.mark.once]

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGN_IN = reverse("accounts:sign_in")
BEGIN = reverse("accounts:openid_sign_in", args=["liar"])
NONCE = "the nonce of the request"


class Liar:
    """A provider that serves its keys, and the result of `answer` at the token endpoint. `asked` are its requests."""

    def __init__(self) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                jwk = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
                self.reply(200, json.dumps({"keys": [{"kid": "1", "alg": "RS256", **jwk}]}).encode())

            def do_POST(self) -> None:
                owner.asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.reply(*owner.answer())

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.asked: dict[str, list[str]] = {}
        self.answer: Callable[[], tuple[int, bytes]] = lambda: (500, b"")


@pytest.fixture(scope="module")
def server() -> Iterator[Liar]:
    liar = Liar()
    thread = threading.Thread(target=liar.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield liar
    liar.server.shutdown()
    liar.server.server_close()
    thread.join()


@pytest.fixture
def liar(server, settings, monkeypatch) -> Liar:
    entry = {
        "label": "Liar",
        "login": [f"{server.url}/authorize", "a=b"],
        "token": [f"{server.url}/token", "a=b"],
        "keys": f"{server.url}/keys",
        "iss": server.url,
        "aud": "device",
        "site": {"client_id": "web", "client_secret": "hush"},
    }
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 1, "authby": [entry]}}
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    openid_client.verifier.cache_clear()
    return server


@pytest.fixture
def ann(liar):
    """Return the member whom the attackers try to sign in as."""
    ann = get_user_model().objects.create_user("ann")
    identities.link(ann, liar.url, "ann")
    return ann


def claims(liar: Liar, nonce: str, **change: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": liar.url, "aud": "web", "sub": "ann", "exp": now + 300, "iat": now, "nonce": nonce} | change
    return {name: value for name, value in whole.items() if value is not None}


def signed(payload: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    return jwt.encode(payload, key, "RS256", {"kid": "1", **header})


def by_hand(payload: dict[str, Any], header: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    """Return a token that PyJWT would refuse to make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    return b".".join([*parts, base64.urlsafe_b64encode(signature(b".".join(parts))).rstrip(b"=")]).decode()


def with_public_key(payload: dict[str, Any]) -> str:
    """Return a token with HS256, whose secret is the public key."""
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return by_hand(payload, {"alg": "HS256", "kid": "1"}, lambda text: hmac.digest(pem, text, "sha256"))


def come_back(client: Any, liar: Liar, make: Callable[[str], Any], slug: str = "liar", **more: str) -> Any:
    """Sign in with the token that `make` returns for the nonce. `more` goes into the URL of the callback."""
    sent = {name: value for name, [value] in parse_qs(urlsplit(client.get(BEGIN).url).query).items()}
    liar.answer = lambda: (200, json.dumps({"access_token": "x", "id_token": make(sent["nonce"])}).encode())
    return client.get(reverse("accounts:openid_callback", args=[slug]), {"state": sent["state"], "code": "c", **more})


def test_the_truth(client, liar, ann):
    """The valid answer, from which those below differ, and what the site sends to the token endpoint."""
    come_back(client, liar, lambda nonce: signed(claims(liar, nonce)))
    assert client.session["_auth_user_id"] == str(ann.pk)
    assert liar.asked["client_secret"] == ["hush"]
    assert liar.asked["redirect_uri"] == [f"http://testserver{BEGIN}callback/"]
    assert len(liar.asked["code_verifier"][0]) >= 43


LIES: dict[str, Callable[[Liar, str], Any]] = {
    "another key": lambda liar, nonce: signed(claims(liar, nonce), OTHER),
    "no signature": lambda liar, nonce: by_hand(claims(liar, nonce), {"alg": "none"}, lambda _: b""),
    "alg none": lambda liar, nonce: by_hand(claims(liar, nonce), {"alg": "none", "kid": "1"}, lambda _: b"\0"),
    "HS256 with the public key": lambda liar, nonce: with_public_key(claims(liar, nonce)),
    "another type": lambda liar, nonce: signed(claims(liar, nonce), typ="logout+jwt"),
    "another issuer": lambda liar, nonce: signed(claims(liar, nonce, iss="https://id.example")),
    "for a device": lambda liar, nonce: signed(claims(liar, nonce, aud="device")),
    "for nobody": lambda liar, nonce: signed(claims(liar, nonce, aud=None)),
    "scheduled for two, no azp": lambda liar, nonce: signed(claims(liar, nonce, aud=["web", "device"])),
    "azp of another": lambda liar, nonce: signed(claims(liar, nonce, aud=["web", "device"], azp="device")),
    "another nonce": lambda liar, nonce: signed(claims(liar, NONCE)),
    "no nonce": lambda liar, nonce: signed(claims(liar, nonce, nonce=None)),
    "expired": lambda liar, nonce: signed(claims(liar, nonce, exp=int(time.time()) - 61)),
    "without an end": lambda liar, nonce: signed(claims(liar, nonce, exp=None)),
    "from the future": lambda liar, nonce: signed(claims(liar, nonce, iat=int(time.time()) + 90)),
    "nobody": lambda liar, nonce: signed(claims(liar, nonce, sub="")),
    "no token": lambda liar, nonce: None,
    "no text": lambda liar, nonce: {"a": 1},
    "noise": lambda liar, nonce: "a.b.c",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_signs_nobody_in(client, liar, ann, lie):
    answer = come_back(client, liar, lambda nonce: LIES[lie](liar, nonce))
    assert answer.url == SIGN_IN
    assert "_auth_user_id" not in client.session
    assert "openid_pending" not in client.session
    assert "failed" in client.get(SIGN_IN).text


def test_a_token_of_before(client, liar, ann):
    """A token that was intercepted, and replayed to the same browser."""
    heard = []
    come_back(client, liar, lambda nonce: heard.append(signed(claims(liar, nonce))) or heard[0])
    client.logout()
    assert come_back(client, liar, lambda nonce: heard[0]).url == SIGN_IN
    assert "_auth_user_id" not in client.session


def test_the_answer_of_another_provider(client, liar, ann, settings):
    """A sign-in that began with one provider and is answered at the callback of another is refused."""
    openid = settings.TMTP["OPENID"]
    other = {**openid["authby"][0], "label": "Other", "site": {"client_id": "web", "slug": "other"}}
    settings.TMTP = {**settings.TMTP, "OPENID": {**openid, "authby": [*openid["authby"], other]}}
    assert come_back(client, liar, lambda nonce: signed(claims(liar, nonce)), slug="other").url == SIGN_IN
    assert "_auth_user_id" not in client.session


def test_an_answer_that_names_another_issuer(client, liar, ann):
    """RFC 9207."""
    told = {"iss": "https://id.example"}
    assert come_back(client, liar, lambda nonce: signed(claims(liar, nonce)), **told).url == SIGN_IN
    come_back(client, liar, lambda nonce: signed(claims(liar, nonce)), iss=liar.url)
    assert "_auth_user_id" in client.session


@pytest.mark.parametrize(
    "answer", [(400, b'{"error":"invalid_grant"}'), (200, b"<html>"), (200, b"[]"), (200, b"{}"), (302, b"")]
)
def test_an_answer_that_is_none(client, liar, ann, answer, caplog):
    caplog.set_level("INFO")
    state = parse_qs(urlsplit(client.get(BEGIN).url).query)["state"][0]
    liar.answer = lambda: answer
    assert client.get(f"{BEGIN}callback/", {"state": state, "code": "secret-code"}).url == SIGN_IN
    assert "a sign-in with" in caplog.text
    assert "secret-code" not in caplog.text
    assert "hush" not in caplog.text
