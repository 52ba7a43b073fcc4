"""The pages on which members add and remove their second factors."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from tmtp.pages.service_address import qr_code
from tmtp.services.storage.encryption import seal, unseal
from tmtp.web.decorators import member_page

from ..errors import Refused
from ..models import AuthenticatorApp, Passkey
from ..sessions import browsers
from . import apps_with_codes, factors, passkeys, recovery_codes
from .confirmation import confirmed_page
from .forms import AppCodeForm, NewPasskeyForm

NEW_SECRET = "authenticator_secret"  # noqa: S105 - the key in the session of a secret that is not confirmed yet


@member_page("GET")
def second_factor(request: HttpRequest) -> HttpResponse:
    """Show what the member has."""
    context = {
        "app": AuthenticatorApp.objects.filter(user=request.user).first(),
        "passkeys": request.user.passkeys.order_by("pk"),
        "passkeys_possible": passkeys.are_possible(request),
        "codes_left": request.user.recovery_codes.count(),
        "must": factors.must_have_one(request.user),
        "has_one": factors.has_one(request.user),
    }
    return render(request, "accounts/second_factor.html", context)


@confirmed_page("GET", "POST")
def app_add(request: HttpRequest) -> HttpResponse:
    """Show a new secret until the member types a code that the app has made of it."""
    secret = unseal(request.session.get(NEW_SECRET, "")) or apps_with_codes.new_secret()
    request.session[NEW_SECRET] = seal(secret)
    form = AppCodeForm(request.POST or None)
    if form.is_valid():
        try:
            apps_with_codes.add(request.user, secret, form.cleaned_data["code"])
        except Refused as refused:
            form.add_error("code", refused.text_for_people())
        else:
            del request.session[NEW_SECRET]
            return _added(request, _("Authenticator app"))
    address = apps_with_codes.address(request.user, secret)
    spaced = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return render(request, "accounts/app_add.html", {"form": form, "qr_code": qr_code(address), "secret": spaced})


@confirmed_page("GET", "POST")
def passkey_add(request: HttpRequest) -> HttpResponse:
    """Have the browser make a passkey."""
    if not passkeys.are_possible(request):
        return redirect("accounts:second_factor")
    form = NewPasskeyForm(request.POST or None)
    if form.is_valid():
        try:
            passkey = passkeys.add(request, form.cleaned_data["name"], form.cleaned_data["answer"])
        except Refused as refused:
            form.add_error(None, refused.text_for_people())
        else:
            return _added(request, passkey.name)
    return render(request, "accounts/passkey_add.html", {"form": form, "options": passkeys.begin_add(request)})


def _added(request: HttpRequest, name: str) -> HttpResponse:
    """Show new recovery codes after the first factor; end other sessions then, which were begun without it."""
    codes = factors.added(request.user, name)
    messages.success(request, _("“%(name)s” has been added.") % {"name": name})
    if not codes:
        return redirect("accounts:second_factor")
    browsers.end_others(request)
    return render(request, "accounts/recovery_codes.html", {"codes": codes})


@confirmed_page("GET", "POST")
def app_remove(request: HttpRequest) -> HttpResponse:
    app = get_object_or_404(AuthenticatorApp, user=request.user)
    return _remove(request, app, _("Authenticator app"))


@confirmed_page("GET", "POST")
def passkey_remove(request: HttpRequest, pk: int) -> HttpResponse:
    passkey = get_object_or_404(Passkey, pk=pk, user=request.user)
    return _remove(request, passkey, passkey.name)


def _remove(request: HttpRequest, factor: AuthenticatorApp | Passkey, name: str) -> HttpResponse:
    """Ask for confirmation, then remove a factor."""
    if request.method != "POST":
        return render(request, "accounts/factor_remove.html", {"name": name})
    try:
        factors.remove(factor, name)
    except Refused as refused:
        messages.error(request, refused.text_for_people())
    else:
        messages.success(request, _("“%(name)s” has been removed.") % {"name": name})
    return redirect("accounts:second_factor")


@confirmed_page("GET", "POST")
def recovery_codes_new(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation, then replace the recovery codes and show the new ones."""
    if not factors.has_one(request.user):
        return redirect("accounts:second_factor")
    if request.method != "POST":
        return render(request, "accounts/recovery_codes_new.html")
    return render(request, "accounts/recovery_codes.html", {"codes": recovery_codes.make(request.user)})
