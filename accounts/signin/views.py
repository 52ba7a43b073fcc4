"""Sign up, sign in, sign out, change or reset a password: Django's views with this site's forms and templates."""

from __future__ import annotations

from typing import Any

from axes.utils import reset as forget_attempts
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, views
from django.contrib.auth.models import User
from django.contrib.messages.views import SuccessMessageMixin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from tmtp.conf import conf

from .. import email_addresses
from ..errors import Refused
from ..second_factor import confirmation, passkeys, signing_in
from ..second_factor.signing_in import BACKEND
from ..sessions import browsers
from .forms import PasswordResetForm, SetPasswordForm, SignInForm, SignUpForm, password_form


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")  # as Django's LoginView
class SignUp(views.RedirectURLMixin, FormView):
    """Create a member and sign them in at once, with an unconfirmed address.

    If TMTP["OPEN_REGISTRATION"] is False, new members need a provider, as devices do.
    """

    form_class = SignUpForm
    template_name = "accounts/sign_up.html"
    next_page = settings.LOGIN_REDIRECT_URL

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Redirect members who are signed in. Refuse the form if registration is closed."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        if request.method == "POST" and not conf.OPEN_REGISTRATION:
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        """Add the URL to go to afterwards, and whether registration is open."""
        return super().get_context_data(next=self.get_redirect_url(), open=conf.OPEN_REGISTRATION, **context)

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        with transaction.atomic():
            user = form.save()
            form.take_name(user)  # also makes a user, so that messages of the site wait for the first device
        login(self.request, user, BACKEND)
        welcome(self.request, user)
        return super().form_valid(form)


def welcome(request: HttpRequest, user: User) -> None:
    """Mail a new member the link that confirms the address, and show a message."""
    try:
        for address in user.addresses.filter(verified=None):
            email_addresses.mail_link(request, address)
    except Refused as refused:
        messages.warning(request, refused.text_for_people())
        return
    if user.email:
        text = _("Welcome! We have sent a link to %(address)s. Follow it to confirm your address.")
        messages.success(request, text % {"address": user.email})


class SignIn(views.LoginView):
    form_class = SignInForm
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        """Add the URL to go to afterwards, and the site's name, for which Django takes the host name."""
        return super().get_context_data(**context) | {
            "next": self.get_redirect_url(),
            "site_name": conf.SITE_NAME,
            "passkeys_possible": passkeys.are_possible(self.request),
        }

    def form_valid(self, form: SignInForm) -> HttpResponse:
        """Ask for the second factor, if the member has one."""
        return signing_in.first_step_done(self.request, form.get_user(), self.get_success_url())


class SignOut(views.LogoutView):
    next_page = "accounts:home"


@method_decorator(never_cache, name="dispatch")
class ChangePassword(SuccessMessageMixin, views.PasswordChangeView):
    """Change the password, or set the first one."""

    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("accounts:account")
    success_message = _("Your password has been changed. You have been signed out in other browsers.")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Ask a member who has no password, and so cannot type it, who they are."""
        user = request.user
        if user.is_authenticated and not user.has_usable_password() and not signing_in.is_confirmed(request):
            return confirmation.ask(request.path)
        return super().dispatch(request, *args, **kwargs)

    def get_form_class(self) -> Any:
        return password_form(self.request.user)

    def get_form_kwargs(self) -> dict[str, Any]:
        """Add the request, with which wrong passwords are counted."""
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        """End the other sessions. Django would refuse them at their next request."""
        browsers.end_others(self.request)
        return super().form_valid(form)


class ResetPassword(views.PasswordResetView):
    form_class = PasswordResetForm
    template_name = "accounts/password_reset.html"
    subject_template_name = "accounts/mail/password_reset_subject.txt"
    email_template_name = "accounts/mail/password_reset.txt"
    success_url = reverse_lazy("accounts:password_reset_done")


class ResetPasswordDone(views.PasswordResetDoneView):
    """Show the same page for every address, so that it does not reveal which ones are known."""

    template_name = "accounts/password_reset_done.html"


class SetPassword(SuccessMessageMixin, views.PasswordResetConfirmView):
    form_class = SetPasswordForm
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("accounts:sign_in")
    success_message = _("Your password has been set. You can now sign in.")

    def form_valid(self, form: Any) -> HttpResponse:
        """Lift a lock-out, since whoever reads the member's mail is the member, and end all sessions."""
        forget_attempts(username=self.user.get_username())
        browsers.end_these(self.user.browsers.all())
        return super().form_valid(form)


def back_to_account() -> HttpResponseRedirect:
    """Return a redirect to the account page."""
    return HttpResponseRedirect(resolve_url("accounts:account"))
