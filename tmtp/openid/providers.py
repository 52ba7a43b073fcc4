"""The OpenID Connect providers in the setting TMTP["OPENID"], and how op 0 announces them to clients."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.text import slugify

MAX_PROVIDERS = 26  # clients use one letter for each
DEFAULT_ALGORITHMS = ("RS256", "ES256")
MEMBERS = ("label", "login", "token", "std", "keys", "iss", "aud", "alg", "site")
SITE_MEMBERS = ("slug", "client_id", "client_secret", "login", "token", "scope")
SAFE = (("https", False), ("https", True), ("http", True))  # the results of parse_url that may carry secrets
LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts for which http is as safe as https
# Algorithm -> (kty, crv) of its keys. Public-key algorithms only: anyone can read the "key" of HS256.
KEY_TYPES: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


@dataclass(frozen=True)
class SiteClient:
    """A provider's member "site": the website's own sign-in as a client there. It is never announced to devices.

    `slug` is part of the URL that the provider redirects to. `login` and `token` are URLs. Without `client_secret` it
    is a public client."""

    slug: str
    client_id: str
    login: str
    token: str
    scope: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Provider:
    """One entry of "authby".

    `login` and `token` are a URL and its parameters; `std` are parameters of both. `keys` is the URL of the JWKS, or
    the JWKS itself as JSON. Tokens must have this `iss` and `aud` (our client id), and one of these `algorithms`."""

    label: str
    login: tuple[str, ...]
    token: tuple[str, ...]
    std: tuple[str, ...]
    keys: str
    iss: str
    aud: str
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    site: SiteClient | None = None

    def announce(self) -> dict[str, Any]:
        """Return what clients are told: {"label", "login": [url, params], "token": [url, params]}."""
        return {"label": self.label, "login": self._target(self.login), "token": self._target(self.token)}

    def for_site(self) -> Provider:
        """Return the same provider for tokens that the website's sign-in receives, instead of a device."""
        assert self.site is not None
        return replace(self, aud=self.site.client_id)

    def _target(self, parts: tuple[str, ...]) -> list[str]:
        return [parts[0], "&".join(parts[1:] + self.std)]


@dataclass(frozen=True)
class OpenID:
    """The parsed setting. A token is needed for nothing if `auth` is 0, to register if 1, to log in as well if 2.

    If `optional`, requests without `oidc` pass as well; requests with it are checked."""

    auth: int = 0
    optional: bool = False
    providers: tuple[Provider, ...] = ()

    def announce(self) -> dict[str, Any]:
        """Return the members for the `tmtprev` header: {"auth", "authby"}, or {} if there is nothing to announce."""
        if not self.auth or not self.providers:
            return {}
        return {"auth": self.auth, "authby": [provider.announce() for provider in self.providers]}


def parse_settings(value: object) -> OpenID:
    """Parse {"auth": 0|1|2, "authby": [provider, ...]}. Raise ImproperlyConfigured, which says what to change.

    An empty first provider makes authentication optional. Members whose names begin with "#" are comments."""
    auth, entries = split_settings(value)
    optional, providers = _parse_authby(entries)
    if auth and not providers and not optional:
        raise _improper(f'"auth" is {auth} without a provider: add one to "authby", or set "auth" to 0')
    return OpenID(auth, optional, providers)


def split_settings(value: object) -> tuple[int, list[dict[str, Any]]]:
    """Return `auth` and `authby`, without examining the providers. Raise ImproperlyConfigured for other types."""
    members = _without_comments(value) if isinstance(value, dict) else None
    if members is None or not members.keys() <= {"auth", "authby"}:
        raise _improper('give a dict: {"auth": 0, 1 or 2, "authby": [providers]}')
    auth, entries = members.get("auth", 0), members.get("authby")
    if type(auth) is not int or auth not in (0, 1, 2):
        raise _improper(f'"auth" is {auth!r}: use 0 (none), 1 (to register) or 2 (to register and to log in)')
    entries = [] if entries is None else entries
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, dict) for entry in entries):
        raise _improper('"authby" must be a list of dicts, one per provider')
    return auth, list(entries)


def _without_comments(members: dict[Any, Any]) -> dict[Any, Any]:
    return {key: item for key, item in members.items() if not str(key).startswith("#")}


def _improper(what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"OpenID settings: {what}.")


def _parse_authby(entries: list[dict[str, Any]]) -> tuple[bool, tuple[Provider, ...]]:
    plain = [_without_comments(entry) for entry in entries]
    optional = bool(plain) and not plain[0]
    if len(plain) - optional > MAX_PROVIDERS:
        raise _improper(f'"authby" has more than {MAX_PROVIDERS} providers: remove some')
    providers = tuple(_parse_provider(f"authby[{n}]", entry) for n, entry in enumerate(plain) if n or entry)
    slugs = [provider.site.slug for provider in providers if provider.site]
    if twice := [slug for slug in slugs if slugs.count(slug) > 1]:
        raise _improper(f'two providers have the slug {twice[0]!r}: give one another "slug" in its "site"')
    return optional, providers


def _parse_provider(where: str, entry: dict[str, Any]) -> Provider:
    if unknown := [name for name in entry if name not in MEMBERS]:
        raise _improper(f"{where} has an unknown member {unknown[0]!r}: use {', '.join(MEMBERS)}")
    label, iss, aud = (_text(where, entry, name) for name in ("label", "iss", "aud"))
    login, token, std = (_texts(where, entry, name) for name in ("login", "token", "std"))
    for name, parts in (("login", login), ("token", token)):
        if not parts or len(parts + std) < 2:
            raise _improper(f'{where} needs "{name}": [URL, parameters...] (those in "std" are added)')
        if parse_url(parts[0]) is None:
            raise _improper(f'{where}: "{name}" begins with {parts[0]!r}: it must be an https or http URL')
    algorithms = _algorithms(where, entry.get("alg"))
    provider = Provider(label, login, token, std, _keys(where, entry, algorithms), iss, aud, algorithms)
    if "site" not in entry:
        return provider
    return replace(provider, site=_site(f'{where}: "site"', entry["site"], provider))


def _site(where: str, entry: Any, provider: Provider) -> SiteClient:
    if not isinstance(entry, dict):
        raise _improper(f"{where} must be a dict, which may be empty")
    if unknown := [name for name in entry if name not in SITE_MEMBERS]:
        raise _improper(f"{where} has an unknown member {unknown[0]!r}: use {', '.join(SITE_MEMBERS)}")
    defaults = {
        "slug": slugify(provider.label),
        "client_id": provider.aud,
        "login": provider.login[0],
        "token": provider.token[0],
        "scope": "openid",
    }
    members = {name: _text(where, defaults | entry, name) for name in defaults | entry}
    if not re.fullmatch(r"[a-z0-9-]+", members["slug"]):
        raise _improper(f'{where}: "slug" is {members["slug"]!r}: use a to z, digits and "-"')
    if "openid" not in members["scope"].split():
        raise _improper(f'{where}: "scope" must hold the word "openid"')
    if parse_url(members["login"]) is None or "?" in members["login"]:
        raise _improper(f'{where}: "login" must be an https or http URL without parameters')
    if parse_url(members["token"]) not in SAFE:
        raise _improper(f'{where}: "token" must be an https URL (http only on {", ".join(LOOPBACK)})')
    return SiteClient(**members)


def _keys(where: str, entry: dict[str, Any], algorithms: tuple[str, ...]) -> str:
    """Return the URL of a JWKS unchanged, or a JWKS as JSON."""
    if isinstance(entry.get("keys"), dict):
        return _jwks(f'{where}: "keys"', entry["keys"], algorithms)
    keys = _text(where, entry, "keys")
    if parse_url(keys) not in SAFE:
        local = ", ".join(LOOPBACK)
        raise _improper(f'{where}: "keys" must be the https URL of the provider\'s JWKS (http only on {local})')
    return keys


def _jwks(where: str, jwks: dict[str, Any], algorithms: tuple[str, ...]) -> str:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(jwk, dict) for jwk in keys):
        raise _improper(f'{where} is a dict, so it must be a JWKS: {{"keys": [one key or more]}}')
    if any("d" in jwk or "k" in jwk for jwk in keys):
        raise _improper(f"{where} has a private key in it: give only the public ones")
    types = [KEY_TYPES[name] for name in algorithms]
    if not any((jwk.get("kty"), jwk.get("crv")) in types for jwk in keys):
        raise _improper(f"{where} has no key for {' or '.join(algorithms)}")
    try:
        return json.dumps(jwks, sort_keys=True)
    except (TypeError, ValueError):
        raise _improper(f"{where} must hold nothing but what JSON has") from None


def parse_url(text: str) -> tuple[str, bool] | None:
    """Return the scheme of an http or https URL and whether its host is loopback, or None for other text."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "http") or not host or any(char.isspace() for char in text):
        return None
    return parts.scheme, host in LOOPBACK


def _text(where: str, entry: dict[str, Any], name: str) -> str:
    text = entry.get(name)
    if not isinstance(text, str) or not text:
        raise _improper(f'{where} needs "{name}", a string that is not empty')
    return text


def _texts(where: str, entry: dict[str, Any], name: str) -> tuple[str, ...]:
    texts = entry.get(name) or []
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text for text in texts):
        raise _improper(f'{where}: "{name}" must be a list of strings that are not empty')
    return tuple(texts)


def _algorithms(where: str, alg: Any) -> tuple[str, ...]:
    names = DEFAULT_ALGORITHMS if alg is None else [alg] if isinstance(alg, str) else alg
    if not isinstance(names, list | tuple) or not names or not all(name in list(KEY_TYPES) for name in names):
        raise _improper(f'{where}: "alg" is {alg!r}: use one or more of {", ".join(KEY_TYPES)}')
    return tuple(names)
