"""The forms for writing, answering and searching."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from ..protocol.values import NUMBER_MAX, PING_MAX_UNITS, utf16_units
from ..services.errors import Refused
from ..services.people.names import typed
from ..web.fields import MessageTextField, NameOfOther
from ..web.rendering import PageForm
from . import sending
from .drafts import Content, Version
from .models import Draft
from .sending import Readers

SUBJECT_MAX = 200
ONCE_MAX = 64
TO_MAX = 2000
TEXT_MAX = 1024 * 1024
_COMMAS = re.compile("[,\uff0c\u3001\u060c]")  # of Chinese, Japanese and Arabic keyboards, too


class FilesInput(forms.ClearableFileInput):
    """Any number of files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """A field for any number of files, which may be empty. Its value is a list."""

    widget = FilesInput

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_empty_file=True, **options)

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Check each."""
        given = data if isinstance(data, list | tuple) else [data]
        return [file for one in given if (file := super(FilesField, self).clean(one, initial))]


class RecipientInput(forms.TextInput):
    """For names of people and groups, which recipients.js completes."""

    def __init__(self, attrs: dict[str, str] | None = None) -> None:
        plain = {"list": "known", "autocomplete": "off", "autocapitalize": "none"}
        super().__init__(attrs={**plain, **(attrs or {})})

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["widget"]["attrs"] |= {
            "data-complete": reverse("tmtp_mailbox:known"),
            "data-known": _("People and groups you know"),
            "data-chosen": _("Recipients"),
            "data-remove": _("Remove {name}"),
        }
        return context


class TextArea(forms.Textarea):
    """For text: Ctrl and Enter send it (mailbox.js)."""

    def __init__(self) -> None:
        super().__init__(attrs={"rows": 6, "data-send": ""})


def text_field() -> MessageTextField:
    """Return a field for the text of a message."""
    return MessageTextField(label=_("Message"), widget=TextArea(), max_length=TEXT_MAX)


class WritingForm(PageForm):
    """What all have: the name to write under, if there is a choice, and what makes pressing twice send once."""

    once = forms.CharField(widget=forms.HiddenInput, max_length=ONCE_MAX, required=False)

    def __init__(self, *args: Any, names: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.names = names
        self.fields["once"].initial = secrets.token_urlsafe(16)
        if len(names) > 1:
            self.fields["alias"] = forms.ChoiceField(label=_("From"), choices=[(name, name) for name in names])
            self.order_fields(["once", "to", "alias"])

    @property
    def alias(self) -> str:
        """The name chosen."""
        return str(self.cleaned_data.get("alias") or self.names[0])


class DraftedForm(WritingForm):
    """A message that is kept as a draft while it is written."""

    draft = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=1, max_value=NUMBER_MAX)
    revision = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0, max_value=NUMBER_MAX)

    @property
    def version(self) -> Version:
        """The draft that the page showed."""
        number = self.fields["draft"]
        return Version(
            _whole(number, self["draft"]), _whole(number, self["revision"]) or 0, self._typed("once")[:ONCE_MAX]
        )

    @property
    def content(self) -> Content:
        """What was typed, whether it can be sent or not. What is longer than a field may be is cut."""
        text = self._typed("text").replace("\r\n", "\n")[:TEXT_MAX]
        to, subject = self._typed("to")[:TO_MAX], self._typed("subject")[:SUBJECT_MAX]
        return Content(to, self._typed("alias")[:255], subject, text)

    def show(self, draft: Draft | None) -> None:
        """Name the newest version of a draft in the form, so that the next save or sending is about that one.

        None is a draft that is gone. A form that is not bound gets the content, too.
        """
        if self.is_bound:
            data: Any = self.data
            self.data = data = data.copy()
            data["draft"] = str(draft.pk) if draft else ""
            data["revision"] = str(draft.revision) if draft else ""
        elif draft:
            names = ("to", "alias", "subject", "text", "revision")
            self.initial.update({name: value for name in names if (value := getattr(draft, name))}, draft=draft.pk)

    def add_quote(self, quote: str) -> None:
        """Add a quote below what is written already, for a form that is not bound."""
        if quote:
            self.initial["text"] = "\n\n".join(filter(None, (str(self.initial.get("text", "")).rstrip(), quote)))

    def _typed(self, name: str) -> str:
        return str(self[name].value() or "").replace("\0", "") if name in self.fields else ""


def _whole(field: forms.Field, bound: forms.BoundField) -> int | None:
    try:
        number: int | None = field.clean(bound.value())
    except forms.ValidationError:
        return None
    return number


class MessageForm(DraftedForm):
    """A message to people and groups."""

    to = forms.CharField(
        label=_("To"),
        max_length=TO_MAX,
        help_text=_("Names of members or groups, separated by commas."),
        widget=RecipientInput(),
    )
    subject = forms.CharField(label=_("Subject"), max_length=SUBJECT_MAX)
    text = text_field()
    files = FilesField(label=_("Files"))  # type: ignore[assignment]  # the stubs take the name for Form.files

    def clean_to(self) -> Readers:
        """Find those who have the names. A name with a comma in it is found when it is the only one, or on a line."""
        text = self.cleaned_data["to"].strip()
        if "\n" in text:
            return self._named(text.splitlines())
        try:
            return sending.named([typed(text)])
        except Refused as refused:
            names = [name for name in _COMMAS.split(text) if name.strip()]
            if len(names) < 2:
                raise forms.ValidationError(refused.text_for_people()) from refused
        return self._named(names)

    def _named(self, names: Iterable[str]) -> Readers:
        try:
            return sending.named([typed(name) for name in names if name.strip()])
        except Refused as refused:
            raise forms.ValidationError(refused.text_for_people()) from refused


class ReplyForm(DraftedForm):
    """An answer in a thread."""

    text = text_field()
    files = FilesField(label=_("Files"))  # type: ignore[assignment]  # the stubs take the name for Form.files


class PingReplyForm(WritingForm):
    """A short text to someone known."""

    text = MessageTextField(
        label=_("Text"), max_length=PING_MAX_UNITS, widget=forms.Textarea(attrs={"rows": 2, "data-send": ""})
    )

    def clean_text(self) -> str:
        """Allow at most 140 UTF-16 units: some characters count twice (tmtp.md op 9)."""
        text = str(self.cleaned_data["text"])
        if utf16_units(text) > PING_MAX_UNITS:
            raise forms.ValidationError(_("This is too long for a ping. Some characters count twice."))
        return text


class PingForm(PingReplyForm):
    """A short text to the holder of a name."""

    to = NameOfOther(
        label=_("To"),
        max_length=255,
        help_text=_("The name of a member."),
        widget=RecipientInput({"data-single": ""}),
    )
    field_order = ["once", "to", "alias", "text"]


class SearchForm(PageForm):
    """The words to search for, and where."""

    q = forms.CharField(label=_("Search"), required=False, max_length=200, widget=forms.TextInput({"type": "search"}))
    where = forms.ChoiceField(
        label=_("In"),
        required=False,
        choices=[
            ("", _("everything")),
            ("subject", _("subjects")),
            ("people", _("people")),
            ("text", _("texts")),
        ],
    )
