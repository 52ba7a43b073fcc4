"""The forms of a member's preferences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils.translation import gettext_lazy as _

from tmtp.models import Member, User
from tmtp.web.rendering import PageForm

from .conf import conf
from .models import Kind, Override, Preferences

DEFAULT = "default"
CHOICES = [
    (DEFAULT, _("As in my notification settings")),
    (Override.Choice.ALWAYS.value, _("Always")),
    (Override.Choice.NEVER.value, _("Never")),
]


def _kinds(label: Any, help_text: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, help_text=help_text, choices=Kind.choices, required=False, widget=forms.CheckboxSelectMultiple
    )


def _time(label: Any, help_text: Any = "") -> forms.TimeField:
    widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    return forms.TimeField(label=label, help_text=help_text, required=False, widget=widget)


class PreferencesForm(PageForm):
    """What a member is told, how, and when not."""

    desktop = _kinds(_("While a page of this site is open in the background"), _("A notice on your desktop."))
    push = _kinds(
        _("While no page is open"),
        _("A push notification, in each browser in which you have turned them on."),
    )
    show_sender = forms.TypedChoiceField(
        label=_("What notifications say"),
        choices=[(1, _("The sender and the subject")), (0, _("Only that there is a new message"))],
        coerce=lambda value: value == "1",
        widget=forms.RadioSelect,
    )
    digest = forms.ChoiceField(
        label=_("Summary of unread messages by e-mail"), choices=Preferences.Digest.choices, widget=forms.RadioSelect
    )
    quiet_from = _time(_("Quiet from"), _("In this time you are not notified."))
    quiet_until = _time(_("Quiet until"))
    time_zone = forms.ChoiceField(label=_("Time zone"), required=False)

    def __init__(self, data: Any = None, *, row: Preferences, absent: Iterable[str], zone: str) -> None:
        initial = {name: getattr(row, name) for name in self.base_fields}
        initial |= {"show_sender": int(row.show_sender), "time_zone": row.time_zone or zone}
        super().__init__(data, initial=initial)
        zones = sorted(available_timezones() | {initial["time_zone"]})
        self.fields["time_zone"].choices = [(name, name.replace("_", " ")) for name in zones]  # type: ignore[attr-defined]
        for name in [*absent, *(() if conf.SHOW_SENDER else ["show_sender"])]:
            del self.fields[name]

    def clean(self) -> None:
        """Add an error if only one end of the quiet hours is given."""
        super().clean()
        begin, end = self.cleaned_data.get("quiet_from"), self.cleaned_data.get("quiet_until")
        if not self.errors and (begin is None) != (end is None):
            self.add_error("quiet_until" if end is None else "quiet_from", _("Enter both times, or neither."))

    def fill(self, row: Preferences) -> None:
        """Set the fields of a row."""
        for name, value in self.cleaned_data.items():
            setattr(row, name, value)


class ThreadForm(PageForm):
    """An exception for a thread."""

    choice = forms.ChoiceField(label=_("Notify me of new messages"), choices=CHOICES, widget=forms.RadioSelect)


class GroupForm(PageForm):
    """An exception for a group that a member is in."""

    group = forms.ChoiceField(label=_("Group"))
    choice = forms.ChoiceField(label=_("Notify me of new messages"), choices=CHOICES[1:])

    def __init__(self, *args: Any, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        joined = Member.objects.filter(user=user, status__in=(Member.Status.JOINED, Member.Status.INVITED))
        gids = joined.order_by("group__gid").values_list("group__gid", flat=True)
        self.fields["group"].choices = [(gid, gid) for gid in gids]  # type: ignore[attr-defined]
