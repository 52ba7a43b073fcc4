"""The second step of sign-in, sign-in with a passkey alone, and showing once more who one is."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, login
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View

from tmtp.web.decorators import member_page

from ..errors import Refused
from ..openid.client import providers
from ..openid.identities import identities_of
from . import codes, factors, passkeys, signing_in
from .forms import CodeForm, PasskeyForm, PasswordForm


class Proof:
    """What a page asks a member for: a passkey or a code, whichever they have."""

    def __init__(self, request: HttpRequest, user: Any, purpose: str) -> None:
        self.request, self.user, self.purpose = request, user, purpose
        self.passkeys = passkeys.are_possible(request) and user.passkeys.exists()
        self.has_app = hasattr(user, "authenticator_app")
        self.form = CodeForm()

    def is_given(self) -> bool:
        """Return whether the posted form holds it. Otherwise the form says what is wrong."""
        data = self.request.POST
        self.form = PasskeyForm(data) if "answer" in data else CodeForm(data)
        if not self.form.is_valid():
            return False
        try:
            if "answer" in data:
                passkeys.accept(self.request, self.purpose, self.form.cleaned_data["answer"], self.user)
            else:
                codes.check(self.user, self.form.cleaned_data["code"])
        except Refused as refused:
            self.form.add_error(None if "answer" in data else "code", refused.text_for_people())
            return False
        return True

    def context(self) -> dict[str, Any]:
        """Return what the template shows, with a new challenge for the passkeys."""
        options = passkeys.begin(self.request, self.purpose, self.user) if self.passkeys else None
        is_code = isinstance(self.form, CodeForm)
        return {
            "form": self.form if is_code else CodeForm(),
            "errors": () if is_code else self.form.non_field_errors(),
            "options": options,
            "has_app": self.has_app,
        }


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SignInCode(View):
    """The second step of sign-in."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Redirect everybody who has not done the first step, or too long ago."""
        user = signing_in.pending_user(request)
        if user is None:
            return redirect("accounts:sign_in")
        self.proof = Proof(request, user, passkeys.SECOND)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "accounts/sign_in_code.html", self.proof.context())

    def post(self, request: HttpRequest) -> HttpResponse:
        if self.proof.is_given():
            return signing_in.second_step_done(request, self.proof.user)
        return self.get(request)


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SignInPasskey(RedirectURLMixin, View):
    """Sign in with a passkey and nothing else. The page does not tell who has one."""

    next_page = settings.LOGIN_REDIRECT_URL

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        if not passkeys.are_possible(request):
            return redirect("accounts:sign_in")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, errors: Any = ()) -> HttpResponse:
        options = passkeys.begin(request, passkeys.ALONE)
        context = {"options": options, "errors": errors, "next": self.get_redirect_url()}
        return render(request, "accounts/sign_in_passkey.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            passkey = passkeys.accept(request, passkeys.ALONE, request.POST.get("answer", ""))
            if not passkey.user.is_active:
                raise Refused("openid_inactive")
        except Refused as refused:
            return self.get(request, [refused.text_for_people()])
        login(request, passkey.user, signing_in.BACKEND)
        return HttpResponseRedirect(self.get_success_url())


@method_decorator(member_page("GET", "POST"), name="dispatch")
@method_decorator(sensitive_post_parameters(), name="dispatch")
class Confirm(RedirectURLMixin, View):
    """Let a member show once more who they are: with a second factor, else the password, else their provider."""

    next_page = "accounts:second_factor"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.proof = Proof(request, request.user, passkeys.CONFIRM) if factors.has_one(request.user) else None
        self.form = PasswordForm(request.POST or None)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        context: dict[str, Any] = {"next": self.get_redirect_url()}
        if self.proof:
            context |= self.proof.context()
        elif request.user.has_usable_password():
            context["form"] = self.form
        else:
            linked = {identity.iss for identity in identities_of(request.user)}
            context["providers"] = [one for one in providers().values() if one.iss in linked]
        return render(request, "accounts/reauthenticate.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        if not (self.proof.is_given() if self.proof else self._has_password()):
            return self.get(request)
        signing_in.note_confirmed(request)
        return HttpResponseRedirect(self.get_success_url())

    def _has_password(self) -> bool:
        """Return whether the password is right. Wrong ones count as at sign-in."""
        if not self.form.is_valid():
            return False
        name = self.request.user.get_username()
        if authenticate(self.request, username=name, password=self.form.cleaned_data["password"]) == self.request.user:
            return True
        self.form.add_error("password", _("Wrong password."))
        return False
