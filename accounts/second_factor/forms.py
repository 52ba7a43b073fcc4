"""The forms of the second factor."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

ANSWER_MAX = 20_000  # characters of a browser's answer


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=64,
        widget=forms.TextInput({"autocomplete": "one-time-code", "autocapitalize": "off", "spellcheck": "false"}),
    )


class AppCodeForm(forms.Form):
    """The first code of a new authenticator app."""

    code = forms.CharField(
        label=_("Code from the app"),
        max_length=20,
        widget=forms.TextInput({"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )


class PasswordForm(forms.Form):
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput({"autocomplete": "current-password"})
    )


class PasskeyForm(forms.Form):
    """What the browser answered, which a script fills in."""

    answer = forms.CharField(max_length=ANSWER_MAX, widget=forms.HiddenInput)


class NewPasskeyForm(PasskeyForm):
    name = forms.CharField(
        label=_("Name of the passkey"),
        max_length=100,
        help_text=_("For you only, such as where you keep it."),
    )
