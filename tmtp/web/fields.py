"""Form fields for the names of others."""

from __future__ import annotations

from typing import Any

from django import forms

from ..services.people.names import typed


class NameOfOther(forms.CharField):
    """A name that a person types to say whom they mean: its value is that name as it is registered, if it is."""

    def clean(self, value: Any) -> str:
        """Return the alias, gid or uid."""
        return typed(super().clean(value))
