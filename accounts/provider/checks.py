"""System checks of the settings with which the site is an OpenID provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from oauth2_provider.settings import oauth2_settings

from tmtp.conf import conf
from tmtp.openid.providers import SAFE, Provider, parse_settings, parse_url

from .conf import CLIENT_ID, public_jwks

SETTINGS = "OAUTH2_PROVIDER = accounts.provider.conf.oauth2_settings(url, key)"
ENTRY = "accounts.provider.conf.entry(label, url, key)"


@checks.register("provider")
def check_provider(**_: Any) -> list[checks.CheckMessage]:
    """Check OAUTH2_PROVIDER, the URLs and TMTP["OPENID"]: E001 to E008."""
    iss, key = oauth2_settings.OIDC_ISS_ENDPOINT, oauth2_settings.OIDC_RSA_PRIVATE_KEY
    if not iss or parse_url(iss) is None:
        message = f"OAUTH2_PROVIDER[“OIDC_ISS_ENDPOINT”] is {iss!r}, and must be the provider's address."
        return [_error(1, message, f"Let {SETTINGS}.")]
    try:
        kids = {jwk["kid"] for jwk in public_jwks(key)["keys"]}
    except ValueError as error:
        return [_error(2, f"OAUTH2_PROVIDER[“OIDC_RSA_PRIVATE_KEY”] is {error}.", f"Let {SETTINGS}.")]
    return [*_check_addresses(iss), *_check_announced(iss, kids)]


def _check_addresses(iss: str) -> Iterator[checks.CheckMessage]:
    path = urlsplit(iss).path
    if parse_url(iss) not in SAFE:
        message = f"The provider's address is {iss}: passwords and codes cross the network for everyone to read."
        yield _warning(3, message, "Serve the site over https, and say so in its address (of mnmsite: MNM_URL).")
    try:
        if not f"{path}/authorize/".endswith(reverse("oauth2_provider:authorize")):
            raise NoReverseMatch
    except NoReverseMatch:
        hint = f'Add to the site\'s urls: path("{path.strip("/")}/", include("accounts.provider.urls")).'
        yield _error(4, f"The provider's pages are not at its address, {iss}.", hint)
    try:
        resolve(urlsplit(resolve_url(settings.LOGIN_URL)).path)
    except (NoReverseMatch, Resolver404):
        message = f"LOGIN_URL is {settings.LOGIN_URL!r}, and there is no such page, so nobody can sign in."
        yield _warning(5, message, "Set it to the name or address of the page for signing in.")


def _check_announced(iss: str, kids: set[str]) -> Iterator[checks.CheckMessage]:
    try:
        openid = parse_settings(conf.OPENID)
    except ImproperlyConfigured:  # tmtp.E006
        return
    own = [provider for provider in openid.providers if (provider.iss, provider.aud) == (iss, CLIENT_ID)]
    if not own:
        message = "The site is a provider that its own TMTP service does not know."
        yield _error(6, message, f"Put {ENTRY} into TMTP[“OPENID”][“authby”].")
    elif not openid.auth:
        message = "The site is a provider, and TMTP[“OPENID”][“auth”] is 0, so no device is told of it."
        yield _warning(7, message, "Make it 1, or 2; an empty first provider, {}, lets others in all the same.")
    elif not kids <= _kids(own[0], kids):
        message = "TMTP[“OPENID”] has other keys for the site itself than those it signs with."
        yield _error(8, message, f"Make the entry with {ENTRY}, from the same key.")


def _kids(provider: Provider, default: set[str]) -> set[str]:
    """Return the ids of a provider's keys, or the default if the provider only names their URL."""
    if not provider.keys.startswith("{"):
        return default
    return {jwk.get("kid", "") for jwk in json.loads(provider.keys)["keys"]}


def _error(number: int, message: str, hint: str) -> checks.Error:
    return checks.Error(message, hint=hint, id=f"provider.E{number:03}")


def _warning(number: int, message: str, hint: str) -> checks.Warning:
    return checks.Warning(message, hint=hint, id=f"provider.W{number:03}")
