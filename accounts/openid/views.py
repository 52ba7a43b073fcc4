"""Views to sign in, sign up, link and unlink with a provider."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from tmtp.openid.providers import Provider
from tmtp.openid.tokens import OpenIDError
from tmtp.services.people.identities import AuthenticationRequired, spend_token
from tmtp.web.decorators import member_page

from ..errors import Refused
from ..second_factor import signing_in
from ..second_factor.confirmation import confirmed_page
from ..signin.views import back_to_account, welcome
from . import identities
from .client import STATE_LIFE, STATES, Redeemer, Shown, begin, providers
from .forms import OpenIDSignUpForm

logger = logging.getLogger(__name__)

PENDING = "openid_pending"  # the key in the session of an identity that has no account yet
PENDING_LIFE = 3600  # seconds


def provider_or_404(slug: str) -> Provider:
    try:
        return providers()[slug]
    except KeyError:
        raise Http404 from None


@require_safe
@never_cache
def sign_in(request: HttpRequest, slug: str) -> HttpResponse:
    """Redirect to the provider."""
    return HttpResponseRedirect(begin(request, provider_or_404(slug).site, next=next_page(request), link=None))


@confirmed_page("POST")
def link(request: HttpRequest, slug: str) -> HttpResponse:
    """Redirect to the provider, to link the identity to the member. POST only: other sites must not start this."""
    return HttpResponseRedirect(begin(request, provider_or_404(slug).site, next="", link=str(request.user.pk)))


def next_page(request: HttpRequest) -> str:
    """Return the URL to go to after signing in, or "" if it is not on this site."""
    page = request.GET.get("next", "")
    own = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    return page if own else ""


@require_safe
@never_cache
def callback(request: HttpRequest, slug: str) -> HttpResponse:
    """Finish what was begun, when the provider redirects back."""
    provider = provider_or_404(slug)
    begun = take_state(request, slug)
    try:
        shown = redeem(request, provider, begun)
        if begun["link"]:
            return finish_link(request, provider, begun, shown)
        return finish_sign_in(request, provider, begun, shown)
    except OpenIDError as error:
        logger.info("a sign-in with %s was refused: %s", provider.iss, str(error))
        reason = _("Sign-in with %(provider)s failed. Please try again.") % {"provider": provider.label}
    except Refused as refused:
        reason = refused.text_for_people()
    messages.error(request, reason)
    return redirect("accounts:account" if request.user.is_authenticated else "accounts:sign_in")


def take_state(request: HttpRequest, slug: str) -> dict[str, Any] | None:
    """Return what this browser began with the request's state, and forget it.

    Return None if there is nothing, or if it is too old or was begun with another provider."""
    begun = request.session.get(STATES, {}).pop(request.GET.get("state", ""), None)
    request.session.modified = True
    request.session.save()  # before the code is redeemed, so that a second request finds nothing
    fresh = begun is not None and begun["slug"] == slug and time.time() - begun["added_on"] < STATE_LIFE
    return begun if fresh else None


def redeem(request: HttpRequest, provider: Provider, begun: dict[str, Any] | None) -> Shown:
    """Redeem the code and spend the token. Raise OpenIDError."""
    if begun is None:
        raise OpenIDError("it was not begun in this browser, or too long ago")
    if request.GET.get("iss", provider.iss) != provider.iss:  # RFC 9207
        raise OpenIDError("the answer is from another provider")
    if "code" not in request.GET:
        raise OpenIDError(f"the provider said {request.GET.get('error', 'nothing')[:100]!r}")
    shown = Redeemer(provider).redeem(request, request.GET["code"], begun)
    try:
        spend_token(shown.identity())  # so that no device can register with a copy
    except AuthenticationRequired as error:
        raise OpenIDError(str(error)) from None
    return shown


def finish_link(request: HttpRequest, provider: Provider, begun: dict[str, Any], shown: Shown) -> HttpResponse:
    """Link the identity to the member who asked for it. Raise Refused."""
    if str(request.user.pk) != begun["link"]:
        raise Refused("openid_signed_out")
    identities.link(request.user, shown.claims.iss, shown.claims.sub)
    messages.success(request, _("You can now sign in with %(provider)s.") % {"provider": provider.label})
    return back_to_account()


def finish_sign_in(request: HttpRequest, provider: Provider, begun: dict[str, Any], shown: Shown) -> HttpResponse:
    """Sign the member in, or let a new one choose a username. Raise Refused."""
    member = identities.member_of(shown.claims.iss, shown.claims.sub)
    if member is None and request.user.is_authenticated:
        raise Refused("openid_signed_in")
    if member is None:
        request.session[PENDING] = {
            "slug": provider.site.slug,
            "iss": shown.claims.iss,
            "sub": shown.claims.sub,
            "next": begun["next"],
            "at": time.time(),
            **OpenIDSignUpForm.suggestions(shown.profile),
        }
        return redirect("accounts:openid_sign_up")
    if not member.is_active:
        raise Refused("openid_inactive")
    return signing_in.first_step_done(request, member, begun["next"] or resolve_url(settings.LOGIN_REDIRECT_URL))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def sign_up(request: HttpRequest) -> HttpResponse:
    """Let a new member, who has signed in with a provider for the first time, choose a username."""
    pending = request.session.get(PENDING)
    provider = providers().get(pending["slug"]) if pending and time.time() - pending["at"] < PENDING_LIFE else None
    if provider is None or request.user.is_authenticated:
        return redirect("accounts:sign_in")
    form = OpenIDSignUpForm(request.POST or None, initial=pending)
    if not form.is_valid():
        return render(request, "accounts/openid_sign_up.html", {"form": form, "provider": provider})
    try:
        with transaction.atomic():
            member = form.save()
            identities.link(member, pending["iss"], pending["sub"])
            form.take_name(member)
    except Refused as refused:
        messages.error(request, refused.text_for_people())
        return redirect("accounts:sign_in")
    del request.session[PENDING]
    login(request, member, signing_in.BACKEND)
    welcome(request, member)
    return HttpResponseRedirect(pending["next"] or resolve_url(settings.LOGIN_REDIRECT_URL))


@member_page("GET", "POST")
def unlink(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for confirmation, then unlink an identity."""
    identity = next((one for one in identities.identities_of(request.user) if one.pk == pk), None)
    if identity is None:
        raise Http404
    label = identities.label_of(identity)
    if request.method != "POST":
        return render(request, "accounts/unlink.html", {"identity": identity, "label": label})
    try:
        identities.unlink(request.user, identity)
    except Refused as refused:
        messages.error(request, refused.text_for_people())
    else:
        messages.success(request, _("%(provider)s is no longer linked to your account.") % {"provider": label})
    return back_to_account()
