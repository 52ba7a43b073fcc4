"""The name by which others find a new member: sign-up asks for one, and else makes one of the username."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tmtp.services.errors import Refused
from tmtp.services.people import names
from tmtp.services.people.linking import user_of


class FirstNameForm(forms.Form):
    """A field for the name, for the forms that create a member."""

    name = forms.CharField(
        label=_("Name"),
        max_length=255,
        required=False,
        help_text=_("Others write to you by this name. At least 8 characters. If empty, your username is used."),
    )

    def clean_name(self) -> str:
        """Return the name. Raise ValidationError if nobody can take it."""
        name = str(self.cleaned_data["name"])
        try:
            if name:
                names.check_free(name)
        except Refused as refused:
            raise forms.ValidationError(refused.text_for_people()) from refused
        return name

    def take_name(self, member: Any) -> str:
        """Give the member the name, or else the username, or else one made of it. Return it."""
        username = member.get_username()
        wanted = (self.cleaned_data["name"], username, names.default_name(username))
        return names.take_first(user_of(member), *wanted)
