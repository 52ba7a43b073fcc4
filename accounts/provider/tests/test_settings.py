"""The settings of a site that is its own provider, and the errors if they do not fit together."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.conf import settings as site
from django.core.management import call_command
from oauth2_provider.models import Application

from accounts.provider import conf
from accounts.provider.checks import check_provider
from accounts.provider.client import make_client
from tmtp.openid.providers import parse_settings

from .conftest import KEY, OPENID

pytestmark = pytest.mark.once

URL = "https://chess.example"


def pem(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def test_the_entry_is_what_clients_are_told():
    openid = parse_settings({"auth": 1, "authby": [conf.entry("Chess club", URL, KEY)]})
    (told,) = openid.announce()["authby"]
    redirect = "client_id=tmtp-device&redirect_uri=http%3A%2F%2Flocalhost%3A8123%2Fu"
    assert told == {
        "label": "Chess club",
        "login": [f"{URL}/openid/authorize/", f"response_type=code&scope=openid&{redirect}"],
        "token": [f"{URL}/openid/token/", f"grant_type=authorization_code&{redirect}"],
    }
    assert openid.providers[0].algorithms == ("RS256",)


def test_a_key_that_was_made_is_good():
    key = conf.make_key()
    (jwk,) = conf.public_jwks(key)["keys"]
    assert jwk.keys() == {"kty", "n", "e", "kid", "alg", "use"}
    assert key != KEY


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "not a private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "not a private key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA private key"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048 to"),
        (pem(rsa.generate_private_key(65537, 2048), b"x"), "not a private key"),
    ],
)
def test_a_key_that_is_none(key, why):
    with pytest.raises(ValueError, match=why):
        conf.public_jwks(key)


@pytest.fixture
def provider(settings):
    """Return the settings that make the site a provider."""

    def change(**changed):
        settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, **changed}

    settings.LOGIN_URL = "admin:login"
    settings.TMTP = {**settings.TMTP, "OPENID": OPENID}
    return change


def complaints():
    found = check_provider()
    assert all(message.msg and message.hint and "\n" not in message.msg + message.hint for message in found)
    return [message.id for message in found]


def test_what_fits_together(provider):
    assert complaints() == []


@pytest.mark.parametrize("iss", ["", None, "chess.example/openid"])
def test_a_provider_without_an_address(provider, iss):
    provider(OIDC_ISS_ENDPOINT=iss)
    assert complaints() == ["provider.E001"]


@pytest.mark.parametrize("key", ["", "x", pem(rsa.generate_private_key(65537, 1024))])
def test_a_provider_without_a_good_key(provider, key):
    provider(OIDC_RSA_PRIVATE_KEY=key)
    assert complaints() == ["provider.E002"]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]"])
def test_without_tls_on_this_machine(provider, settings, host):
    provider(OIDC_ISS_ENDPOINT=f"http://{host}/openid")
    assert complaints() == ["provider.E006"]
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 1, "authby": [conf.entry("Chess", f"http://{host}", KEY)]}}
    assert complaints() == []


def test_without_tls_elsewhere(provider):
    provider(OIDC_ISS_ENDPOINT="http://chess.example/openid")
    assert "provider.W003" in complaints()


def test_pages_that_are_elsewhere(provider):
    provider(OIDC_ISS_ENDPOINT=f"{URL}/id")
    assert "provider.E004" in complaints()


@pytest.mark.urls("accounts.urls")
def test_pages_that_are_nowhere(provider, settings):
    settings.LOGIN_URL = "/"
    assert complaints() == ["provider.E004"]


@pytest.mark.parametrize("name", ["/no/such/page", "no:name"])
def test_no_page_to_sign_in(provider, settings, name):
    settings.LOGIN_URL = name
    assert complaints() == ["provider.W005"]


@pytest.mark.parametrize(
    ("openid", "found"),
    [
        ({"auth": 0, "authby": []}, ["provider.E006"]),
        ({"auth": 1, "authby": [{}]}, ["provider.E006"]),
        ({"auth": 0, "authby": OPENID["authby"]}, ["provider.W007"]),
        ({"auth": 1, "authby": [conf.entry("x", "https://testserver", conf.make_key())]}, ["provider.E008"]),
        ({"auth": 1, "authby": [{**OPENID["authby"][0], "keys": f"{URL}/jwks"}]}, []),
        ({"auth": 2, "authby": [{}, *OPENID["authby"]]}, []),
        ({"auth": 3}, []),  # tmtp.E006
    ],
)
def test_what_the_service_knows_of_it(provider, settings, openid, found):
    settings.TMTP = {**settings.TMTP, "OPENID": openid}
    assert complaints() == found


def test_each_check_is_explained():
    source = (site.BASE_DIR / "accounts/provider/checks.py").read_text()
    made = {
        f"provider.{kind[0].upper()}{int(number):03}" for kind, number in re.findall(r"_(error|warning)\((\d)", source)
    }
    page = (site.BASE_DIR / "docs/reference/checks.md").read_text()
    assert made == set(re.findall(r"^\| (provider\.\w+) \|", page, re.MULTILINE))
    assert len(made) == 8


@pytest.mark.django_db
def test_migrate_makes_the_client_what_it_should_be():
    client = Application.objects.get(client_id=conf.CLIENT_ID)
    Application.objects.update(
        client_type="confidential", skip_authorization=True, redirect_uris="https://evil.example", algorithm="HS256"
    )
    for _ in range(2):
        make_client()
        again = Application.objects.get()
        assert again.pk == client.pk
        assert (again.client_type, again.skip_authorization, again.algorithm) == ("public", False, "RS256")
        assert "evil" not in again.redirect_uris
    Application.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert Application.objects.get().redirect_uris == client.redirect_uris
