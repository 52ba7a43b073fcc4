"""The website as a client of a provider: begin a sign-in, and redeem the code it ends with.

mozilla-django-oidc stores state, nonce and PKCE verifier in the session, and redeems the code. It does not verify the
id_token: `tmtp.openid` does, as for devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import jwt
import requests
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import get_random_string
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.utils import add_state_and_verifier_and_nonce_to_session, generate_code_challenge

from tmtp.conf import conf
from tmtp.openid.providers import OpenID, Provider, SiteClient, parse_settings
from tmtp.openid.tokens import Claims, OpenIDError, Verifier
from tmtp.services.people.identities import IdentityShown

TIMEOUT = 10  # seconds for the provider to redeem a code
STATE_LIFE = 900  # seconds until the member must be back from the provider
STATES = "oidc_states"  # the key in the session, which mozilla-django-oidc defines


def providers() -> dict[str, Provider]:
    """Return the providers with which members can sign in, by slug."""
    return {provider.site.slug: provider for provider in parse_settings(conf.OPENID).providers if provider.site}


@lru_cache(maxsize=64)
def verifier(provider: Provider) -> Verifier:
    """Return the verifier of a provider's tokens. It is cached, since it keeps the provider's keys."""
    return Verifier(OpenID(1, providers=(provider.for_site(),)))


@dataclass(frozen=True)
class Shown:
    """The result of a sign-in at a provider. `profile` is unverified: use it for suggestions only."""

    claims: Claims
    profile: dict[str, Any]

    def identity(self) -> IdentityShown:
        """Return the identity as the services of tmtp take it."""
        expires = datetime.fromtimestamp(self.claims.exp, UTC)
        return IdentityShown(self.claims.iss, self.claims.sub, self.claims.token_hash, expires)


def callback_url(request: HttpRequest, slug: str) -> str:
    """Return the redirect URI of a provider. Each has its own, so that none can answer for another."""
    return request.build_absolute_uri(reverse("accounts:openid_callback", args=[slug]))


def begin(request: HttpRequest, site: SiteClient, **purpose: Any) -> str:
    """Return the URL of the provider's sign-in page. Store `purpose` in the session, under the new state."""
    state, nonce, code_verifier = (get_random_string(size) for size in (32, 32, 64))
    params = {
        "response_type": "code",
        "scope": site.scope,
        "client_id": site.client_id,
        "redirect_uri": callback_url(request, site.slug),
        "state": state,
        "nonce": nonce,
        "code_challenge": generate_code_challenge(code_verifier, "S256"),
        "code_challenge_method": "S256",
    }
    add_state_and_verifier_and_nonce_to_session(request, state, params, code_verifier)
    request.session[STATES][state] |= {"slug": site.slug, **purpose}
    request.session.modified = True
    return f"{site.login}?{urlencode(params)}"


class Redeemer(OIDCAuthenticationBackend):
    """Redeems a code at one provider, and verifies the id_token."""

    def __init__(self, provider: Provider) -> None:
        assert provider.site is not None
        self.provider = provider
        self.OIDC_OP_TOKEN_ENDPOINT = provider.site.token

    @staticmethod
    def get_settings(attr: str, *default: Any) -> Any:
        """Return fixed values, never the site's settings OIDC_..."""
        return {"OIDC_TIMEOUT": TIMEOUT, "OIDC_VERIFY_SSL": True}.get(attr, *default)

    def redeem(self, request: HttpRequest, code: str, begun: dict[str, Any]) -> Shown:
        """Redeem the code of a sign-in. `begun` is what `begin` stored in the session. Raise OpenIDError."""
        site = self.provider.site
        assert site is not None
        form = {
            "grant_type": "authorization_code",
            "client_id": site.client_id,
            "client_secret": site.client_secret,
            "code": code,
            "redirect_uri": callback_url(request, site.slug),
            "code_verifier": begun["code_verifier"],
        }
        try:
            answer = self.get_token({name: value for name, value in form.items() if value is not None})
        except (requests.RequestException, ValueError) as error:  # its text may quote the response, with a token
            raise OpenIDError(f"the provider did not redeem the code ({type(error).__name__})") from None
        id_token = answer.get("id_token") if isinstance(answer, dict) else None
        if not id_token:
            raise OpenIDError("the provider gave no id_token")
        return self.verify_token(id_token, nonce=begun["nonce"])

    def verify_token(self, token: Any, **kwargs: Any) -> Shown:
        """Verify an id_token with the keyword argument `nonce`. Raise OpenIDError."""
        claims = verifier(self.provider).verify(token, kwargs["nonce"])
        return Shown(claims, jwt.decode(token, options={"verify_signature": False}))
