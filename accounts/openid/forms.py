"""The sign-up form after the first sign-in with a provider."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

from .. import email_addresses
from ..names import FirstNameForm
from ..signin.forms import AddressField, NewUsernameField


class OpenIDSignUpForm(FirstNameForm, forms.ModelForm):
    """Create a member without a password. The provider's profile only suggests initial values."""

    field_order = ["username", "name", "email"]

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": NewUsernameField, "email": AddressField}
        labels = {"email": _("E-mail address")}
        help_texts = {
            "username": _("Letters, digits and . + - _ only. Other members may see it."),
            "email": _("We will send you a link to confirm it."),
        }

    @staticmethod
    def suggestions(profile: dict[str, Any]) -> dict[str, str]:
        """Return initial values from a provider's unverified profile."""
        texts = {name: value for name, value in profile.items() if isinstance(value, str) and value.isprintable()}
        email = texts.get("email", "")[:254]
        name = texts.get("preferred_username") or email or texts.get("name", "")
        return {"username": re.sub(r"[^\w.+-]", "", name.partition("@")[0])[:150], "email": email}

    def save(self, commit: bool = True) -> Any:
        """Return the new member. The address, if any, is unconfirmed."""
        email = self.cleaned_data["email"]
        user = User.objects.create_user(self.cleaned_data["username"], email)
        if email:
            email_addresses.add(user, email)
        return user
