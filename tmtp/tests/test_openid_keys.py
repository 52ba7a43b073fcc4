"""The keys of providers: when they are fetched, and what happens if they cannot be."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tmtp.openid import tokens
from tmtp.openid.tokens import Verifier
from tmtp.tests import id_tokens
from tmtp.tests.id_tokens import NOW, Clock, Jwks, entry, make, public_jwk, refused, token

pytestmark = pytest.mark.once
clock, jwks, jwks_server, verifier = id_tokens.clock, id_tokens.jwks, id_tokens.jwks_server, id_tokens.verifier


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
        start.wait(60)
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
            assert proceed.wait(60)
        return {"keys": keys}

    verifier = make(clock, entry(), fetch=fetch)
    verifier.verify(token("rsa"))
    clock.now += 300
    with ThreadPoolExecutor(2) as pool:
        newcomers = [pool.submit(verifier.verify, token("rsa-2")) for _ in range(2)]
        assert begun.wait(60)
        assert verifier.verify(token("rsa")).sub == "ada"  # its key is known, though the keys are due for a refetch
        assert not any(newcomer.done() for newcomer in newcomers)
        proceed.set()
        assert [newcomer.result(60).sub for newcomer in newcomers] == ["ada", "ada"]
