"""Forms of the admin's broadcasts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...web.fields import MessageTextField
from ..models import Broadcast
from . import audience


class DraftForm(forms.ModelForm):
    """A draft: its text, and its audience, which is everyone or has at least one condition."""

    class Meta:
        model = Broadcast
        fields = ["subject", "body", "everyone", "groups", *audience.ABOUT_ACCOUNTS, "rate"]
        field_classes = {"body": MessageTextField}

    def clean(self) -> dict[str, Any]:
        """Require everyone or conditions, not both."""
        data = super().clean() or {}
        conditions = [name for name in ("groups", *audience.ABOUT_ACCOUNTS) if data.get(name)]
        if data.get("everyone") and conditions:
            raise ValidationError({"everyone": _("Choose either everyone or conditions, not both.")})
        if not data.get("everyone") and not conditions and not self.errors:
            raise ValidationError({"everyone": _("Choose an audience: everyone, or at least one condition below.")})
        return data


class SendForm(forms.Form):
    """Send a broadcast now, or at a time."""

    send_at = forms.DateTimeField(
        label=_("Send at"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def clean_send_at(self) -> Any:
        """Return the time, which must be in the future; None when it is to be sent now."""
        at = self.cleaned_data["send_at"]
        if "later" not in self.data:
            return None
        if at is None:
            raise ValidationError(_("Enter a date and time."))
        if at <= timezone.now():
            raise ValidationError(_("This time is in the past."))
        return at
