"""OpenID in the settings: what is announced to clients, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tmtp.openid.providers import OpenID, SiteClient, parse_settings
from tmtp.tests.id_tokens import entry, public_jwk

pytestmark = pytest.mark.once


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
