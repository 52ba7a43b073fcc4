"""The forms of sign-in. Django's own, with an e-mail address that has to be confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tmtp.conf import conf

from .. import addresses


class UsernameField(auth_forms.UsernameField):
    """A name that cannot be taken for an e-mail address, since sign-in accepts both."""

    def clean(self, value: Any) -> Any:
        """Refuse “@”."""
        name = super().clean(value)
        if "@" in name:
            raise ValidationError(_("A username has no “@” in it."))
        return name


class SignUpForm(auth_forms.UserCreationForm):
    """A new member: username, e-mail address, password."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("We mail a link to it. You need it when you forget your password."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": UsernameField}
        help_texts = {"username": _("Letters, digits and . + - _ only. Others may see it.")}

    def save(self, commit: bool = True) -> Any:
        """Give the new member, with the address, which is not confirmed yet."""
        self.instance.email = addresses.normalise(self.cleaned_data["email"])
        user = super().save(commit)
        addresses.add(user, user.email)
        return user


class SignInForm(auth_forms.AuthenticationForm):
    """Username or confirmed e-mail address, and password."""

    error_messages = {
        **auth_forms.AuthenticationForm.error_messages,
        "invalid_login": _("That name and password do not fit together. Mind upper and lower case in the password."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Username or e-mail address")
        self.fields["username"].max_length = 254
        self.fields["username"].widget.attrs["maxlength"] = 254

    def clean_username(self) -> str:
        """The username, also when the address was given."""
        name = self.cleaned_data["username"]
        member = addresses.users_by_address([name]).get(addresses.normalise(name)) if "@" in name else None
        return member.get_username() if member else name


class PasswordResetForm(auth_forms.PasswordResetForm):
    """Mails a link to a confirmed address, and nowhere else.

    Whoever reads mail at an address that a stranger merely claimed must not get the stranger's account, which that
    stranger might still be signed in to.
    """

    email = forms.EmailField(
        label=_("E-mail address"), max_length=254, widget=forms.EmailInput({"autocomplete": "email"})
    )

    def get_users(self, email: str) -> Iterator[Any]:
        """The member who has confirmed this address; nobody when it got a link just now."""
        if addresses.may_mail(addresses.normalise(email)):
            yield from addresses.users_by_address([email]).values()

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        """Send to the address asked for, which need not be the member's first one. Django logs what goes wrong."""
        to_email = addresses.normalise(self.cleaned_data["email"])
        context["site_name"] = conf.SITE_NAME
        super().send_mail(
            subject_template_name, email_template_name, context, from_email, to_email, html_email_template_name
        )


class AddressForm(forms.Form):
    """One more address of a member."""

    address = forms.EmailField(
        label=_("Add an address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


def password_form(user: Any) -> type[forms.Form]:
    """The form to change a password; to set the first one when there is none, as of who signs in with a provider."""
    return auth_forms.PasswordChangeForm if user.has_usable_password() else auth_forms.SetPasswordForm
