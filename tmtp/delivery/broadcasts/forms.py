"""Forms of the admin's broadcasts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...web.fields import MessageTextField
from ..errors import Refused
from ..models import Broadcast, File, Template
from . import audience, fields, files, recurrence


class FilesInput(forms.ClearableFileInput):
    """Lets people choose any number of files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        given = data if isinstance(data, list | tuple) else [data]
        return [super(FilesField, self).clean(file) for file in given if file]


def fields_help() -> str:
    """Return what may be in a text."""
    return _('CommonMark (Markdown), with fields such as {{ name|default:"member" }}. The fields are: %(fields)s.') % {
        "fields": ", ".join(fields.names())
    }


class TemplateForm(forms.ModelForm):
    """A template of a broadcast."""

    class Meta:
        model = Template
        fields = ["name", "subject", "body"]
        field_classes = {"body": MessageTextField}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "body" in self.fields:
            self.fields["body"].help_text = fields_help()


class DraftForm(forms.ModelForm):
    """A draft: its text, and its audience, which is everyone or has at least one condition."""

    attach = FilesField(label=_("Attach files"), required=False)

    class Meta:
        model = Broadcast
        fields = ["subject", "body", "files", "everyone", "segment", "groups", *audience.ABOUT_ACCOUNTS, "rate"]
        field_classes = {"body": MessageTextField}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "body" not in self.fields:  # shown, and not to be changed
            return
        self.fields["body"].help_text = fields_help()
        has = self.instance.files.all() if self.instance.pk else File.objects.none()
        if has:
            self.fields["files"] = forms.ModelMultipleChoiceField(
                has,
                required=False,
                label=_("Attachments"),
                widget=forms.CheckboxSelectMultiple,
                help_text=_("Uncheck those that you do not want to send."),
            )
        else:
            self.fields["files"] = forms.ModelMultipleChoiceField(
                has, required=False, label=_("Attachments"), widget=forms.MultipleHiddenInput
            )

    def clean_attach(self) -> list[Any]:
        """Refuse more than a broadcast can have."""
        given: list[Any] = self.cleaned_data["attach"]
        size = sum(file.size for file in given) + sum(file.size for file in self.cleaned_data.get("files") or [])
        if size > files.MOST:
            raise ValidationError(Refused("broadcast_files_too_large", size=size, most=files.MOST).text_for_people())
        return given

    def clean(self) -> dict[str, Any]:
        """Require everyone or conditions, not both."""
        data = super().clean() or {}
        conditions = [name for name in ("segment", "groups", *audience.ABOUT_ACCOUNTS) if data.get(name)]
        if data.get("everyone") and conditions:
            raise ValidationError({"everyone": _("Choose either everyone or conditions, not both.")})
        if not data.get("everyone") and not conditions and not self.errors:
            raise ValidationError({"everyone": _("Choose an audience: everyone, or at least one condition below.")})
        return data


class SendForm(forms.ModelForm):
    """Send a broadcast now, or at a time, and again from then on."""

    send_at = forms.DateTimeField(
        label=_("Send at"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    class Meta:
        model = Broadcast
        fields = ["send_at", "repeat", "repeat_until", "repeat_times"]
        widgets = {"repeat_until": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}

    @property
    def is_for_later(self) -> bool:
        """Return whether a time is to be set."""
        return "later" in self.data

    def clean_send_at(self) -> Any:
        """Return the time, which must be in the future; None when it is to be sent now."""
        at = self.cleaned_data["send_at"]
        if not self.is_for_later:
            return None
        if at is None:
            raise ValidationError(_("Enter a date and time."))
        if at <= timezone.now():
            raise ValidationError(_("This time is in the past."))
        return at

    def clean(self) -> dict[str, Any]:
        """Refuse to repeat it in a way that does not send it."""
        data = super().clean() or {}
        if data.get("send_at") and not self.errors:
            try:
                recurrence.check(data["send_at"], data["repeat"], data["repeat_until"], data["repeat_times"])
            except Refused as refused:
                raise ValidationError({"repeat_until": refused.text_for_people()}) from None
        return data

    def _post_clean(self) -> None:
        """Leave the broadcast as it is: `lifecycle` changes it."""
