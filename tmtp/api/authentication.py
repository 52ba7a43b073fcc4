"""Who calls: the token in the header `Authorization`. Cookies are not looked at."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer

from . import tokens
from .errors import Refused
from .models import Token


class Bearer(HttpBearer):
    """A token with a scope. Raise Refused if there is none, if it lacks the scope, or after too many requests."""

    def __init__(self, scope: Token.Scope) -> None:
        super().__init__()
        self.scope = scope

    def __call__(self, request: HttpRequest) -> Token:
        """Return the token of a request."""
        kind, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            raise Refused("token_missing")
        return self.authenticate(request, secret.strip())

    def authenticate(self, request: HttpRequest, token: str) -> Token:
        """Return the token with this secret."""
        found = tokens.authenticate(token)
        tokens.count_request(found)
        if self.scope not in found.scopes:
            raise Refused("scope_missing", scope=self.scope.value)
        return found


def needs(scope: Token.Scope) -> dict[str, Any]:
    """Return the options of an operation that needs a scope. The OpenAPI document names it as `x-scope`."""
    return {"auth": Bearer(scope), "openapi_extra": {"x-scope": scope.value}}
