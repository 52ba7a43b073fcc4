"""The forms of sign-in: Django's own, with e-mail addresses that must be confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tmtp.conf import conf
from tmtp.email_spelling import normalise

from .. import email_addresses, usernames
from ..names import FirstNameForm

NAME_MAX = 254  # characters of a username or an e-mail address


class UsernameField(auth_forms.UsernameField):
    """A username without "@", since the sign-in form accepts e-mail addresses too."""

    def clean(self, value: Any) -> Any:
        name = super().clean(value)
        if "@" in name:
            raise ValidationError(_("A username cannot contain “@”."))
        return name


class NewUsernameField(UsernameField):
    """A username that nobody has, as usernames compare."""

    def clean(self, value: Any) -> Any:
        name = super().clean(value)
        if usernames.find(name):
            raise ValidationError(_("A user with that username already exists."))
        return name


class AddressField(forms.EmailField):
    """An e-mail address. Its value is in the spelling under which addresses are stored and looked up."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 254, "widget": forms.EmailInput({"autocomplete": "email"}), **options})

    def clean(self, value: Any) -> str:
        """Return the address with its domain in ASCII, which may be longer."""
        address = normalise(super().clean(value))
        if len(address) > 254:
            raise ValidationError(_("This address is too long."))
        return address


class OnePasswordMixin:
    """Ask for a new password once. A button shows what was typed (pages.js). `asked_once` is the field's name."""

    asked_once = "password1"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[self.asked_once].widget.attrs |= {"data-show": _("Show"), "data-hide": _("Hide")}

    def validate_passwords(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: there is no second field to compare the password with."""

    def validate_password_for_user(self, user: Any, *args: Any, **kwargs: Any) -> None:
        super().validate_password_for_user(user, self.asked_once)


class SetPasswordForm(OnePasswordMixin, auth_forms.SetPasswordForm):
    asked_once = "new_password1"
    new_password2 = None


class FirstPasswordForm(SetPasswordForm):
    """Set the password of a member who has none."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class ChangePasswordForm(OnePasswordMixin, auth_forms.PasswordChangeForm):
    """Change the password. Wrong old ones count as at sign-in, since the session may be a stolen one."""

    asked_once = "new_password1"
    new_password2 = None

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Return the old password. Raise ValidationError if it is wrong."""
        password: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.get_username(), password=password) != self.user:
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return password


class SignUpForm(OnePasswordMixin, FirstNameForm, auth_forms.UserCreationForm):
    password2 = None
    field_order = ["username", "name", "email"]
    email = AddressField(
        label=_("E-mail address"),
        help_text=_("We will send you a link to confirm it. You need it to reset your password."),
    )

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": NewUsernameField}
        help_texts = {"username": _("Letters, digits and . + - _ only. Other members may see it.")}

    def save(self, commit: bool = True) -> Any:
        """Return the new member. The address is unconfirmed."""
        user = super().save(commit)
        email_addresses.add(user, user.email)
        return user


class SignInForm(auth_forms.AuthenticationForm):
    """Sign in with a username or a confirmed e-mail address, and a password."""

    error_messages = {
        **auth_forms.AuthenticationForm.error_messages,
        "invalid_login": _("Wrong username or password. Passwords are case-sensitive."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Username or e-mail address")
        self.fields["username"].validators.append(MaxLengthValidator(NAME_MAX))
        self.fields["username"].widget.attrs["maxlength"] = NAME_MAX

    def clean_username(self) -> str:
        """Return the username, of a confirmed address too."""
        name = self.cleaned_data["username"]
        member = email_addresses.users_by_address([name]).get(normalise(name)) if "@" in name else None
        return member.get_username() if member else name


class PasswordResetForm(auth_forms.PasswordResetForm):
    """Mail a link to a confirmed address only.

    Anyone can add a stranger's address to an account. A link to such an address would give the stranger an account
    that its owner may still be signed in to.
    """

    email = AddressField(label=_("E-mail address"))

    def get_users(self, email: str) -> Iterator[Any]:
        """Yield the member who has confirmed this address, unless a link was mailed to it just now."""
        if email_addresses.may_mail(email):
            yield from email_addresses.users_by_address([email]).values()

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        """Send to the address in the form, which may differ from `user.email`. Django logs errors."""
        to_email = self.cleaned_data["email"]
        context["site_name"] = conf.SITE_NAME
        super().send_mail(
            subject_template_name, email_template_name, context, from_email, to_email, html_email_template_name
        )


class AddressForm(forms.Form):
    address = AddressField(label=_("Add an address"))


def password_form(user: Any) -> type[forms.Form]:
    """Return the form to change the password, or to set one for a member who only signs in with a provider."""
    return ChangePasswordForm if user.has_usable_password() else FirstPasswordForm
