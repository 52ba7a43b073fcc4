"""What a device is called."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from tmtp.services.people.users import LABEL_MAX


class LabelForm(forms.Form):
    """A device's label, which its owner chooses and only they see."""

    label = forms.CharField(
        label=_("Name of the device"),
        max_length=LABEL_MAX,
        help_text=_("So that you know it again: “Laptop”, “My phone”. Only you see it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
