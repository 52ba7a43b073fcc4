"""The settings of a site that is the provider. A settings module imports this, so it must not import Django.

INSTALLED_APPS += APPS
OAUTH2_PROVIDER = oauth2_settings(url, key)
TMTP["OPENID"]["authby"].append(entry("My site", url, key))
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from jwcrypto import jwk
from jwcrypto.common import JWException

APPS = ["oauth2_provider", "accounts.provider"]
PATH = "openid/"  # where the site includes accounts.provider.urls
CLIENT_ID = "tmtp-device"
# Where mnm-hammer receives the code. Other programs use the loopback address with any port (RFC 8252, section 7.3).
REDIRECT = "http://localhost:8123/u"
REDIRECTS = (REDIRECT, f"{REDIRECT}/", "http://127.0.0.1/u", "http://127.0.0.1/u/")
REDIRECT_ORIGINS = ("http://localhost:8123", "http://127.0.0.1:*")  # the same for a content security policy

CODE_SECONDS = 60
TOKEN_SECONDS = 15 * 60  # long enough to type an alias before the device registers
KEY_BITS = 2048
KEY_BITS_MAX = 8192


def oauth2_settings(url: str, key: str) -> dict[str, Any]:
    """Return the setting OAUTH2_PROVIDER. `url` is the site's, without a path; `key` is an RSA private key, PEM."""
    return {
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": issuer(url),
        "OIDC_RSA_PRIVATE_KEY": key,
        "OAUTH2_VALIDATOR_CLASS": "accounts.provider.validators.DeviceValidator",
        "SCOPES": {"openid": "openid"},
        "DEFAULT_SCOPES": ["openid"],
        "PKCE_REQUIRED": True,
        "AUTHORIZATION_CODE_EXPIRE_SECONDS": CODE_SECONDS,
        "ACCESS_TOKEN_EXPIRE_SECONDS": TOKEN_SECONDS,
        "ID_TOKEN_EXPIRE_SECONDS": TOKEN_SECONDS,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,  # there are no refresh tokens, but the toolkit's check asks for it
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],  # to the device's own computer only: RFC 8252
        "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
        "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
        "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,  # S256 only
        "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
        "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
        "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
        "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    }


def entry(label: str, url: str, key: str) -> dict[str, Any]:
    """Return the site's entry of TMTP["OPENID"]["authby"]. It contains the public key, so nothing is fetched."""
    iss = issuer(url)
    return {
        "label": label,
        "login": [f"{iss}/authorize/", "response_type=code", "scope=openid"],
        "token": [f"{iss}/token/", "grant_type=authorization_code"],
        "std": [f"client_id={CLIENT_ID}", f"redirect_uri={quote(REDIRECT, safe='')}"],
        "keys": public_jwks(key),
        "iss": iss,
        "aud": CLIENT_ID,
        "alg": "RS256",
    }


def issuer(url: str) -> str:
    """Return the `iss` of the tokens."""
    return f"{url.rstrip('/')}/{PATH.rstrip('/')}"


def make_key() -> str:
    """Return a new RSA private key, PEM."""
    key = jwk.JWK.generate(kty="RSA", size=KEY_BITS)
    return str(key.export_to_pem(private_key=True, password=None).decode())


def public_jwks(key: str) -> dict[str, Any]:
    """Return the JWKS of a private key, as django-oauth-toolkit publishes it. Raise ValueError for other text."""
    try:
        pair = jwk.JWK.from_pem(key.encode())
        public = json.loads(pair.export_public())
    except (JWException, ValueError, TypeError):
        raise ValueError("not a private key in PEM, without a passphrase") from None
    if not pair.has_private or public["kty"] != "RSA":
        raise ValueError("not an RSA private key")
    if not KEY_BITS <= pair.get_op_key("sign").key_size <= KEY_BITS_MAX:
        raise ValueError(f"an RSA key must have {KEY_BITS} to {KEY_BITS_MAX} bits")
    return {"keys": [{**public, "alg": "RS256", "use": "sig", "kid": pair.thumbprint()}]}
