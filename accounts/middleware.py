"""Middleware for signed-in members: the language of their pages, their browsers, who must have a second factor."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin

from . import languages
from .second_factor import factors
from .sessions import browsers

# What a member may use who must have a second factor and has none: the pages to add one, and the way out.
ALLOWED = {f"accounts:{name}" for name in ("second_factor", "app_add", "passkey_add", "reauthenticate", "sign_out")}
ALLOWED |= {"accounts:openid_sign_in", "accounts:openid_callback"}  # where `reauthenticate` leads


class MemberMiddleware(MiddlewareMixin):
    """After Django's AuthenticationMiddleware."""

    def process_request(self, request: HttpRequest) -> None:
        """Let pages be in the member's language."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            languages.activate(request)

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        """Remember the browser; redirect a member who must add a second factor first."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return None
        browsers.remember(request, request.user)
        match = request.resolver_match
        allowed = match is not None and match.view_name in ALLOWED
        if allowed or not factors.must_have_one(request.user) or factors.has_one(request.user):
            return None
        return redirect("accounts:second_factor")
