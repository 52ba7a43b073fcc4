"""Form fields for the names of others, and for the text of a message."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from ..services.errors import Refused
from ..services.people.names import check_known, typed

_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


class NameOfOther(forms.CharField):
    """A name that a person types to say whom they mean: its value is that name as it is registered, if it is."""

    def clean(self, value: Any) -> str:
        """Return the alias, gid or uid. Raise ValidationError with the names that may be meant, if there are some."""
        name = typed(super().clean(value))
        try:
            check_known(name)
        except Refused as refused:
            raise forms.ValidationError(refused.text_for_people()) from refused
        return name


class MessageTextField(forms.CharField):
    """The text of a message, CommonMark: spaces before its first line mean that it is code, so they stay.

    Lines end as in Unix, as clients write them. Browsers send two characters.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "strip": False})

    def to_python(self, value: Any) -> str:
        text = (super().to_python(value) or "").replace("\r\n", "\n")
        return _BLANK_LINES.sub("", text).rstrip()
