"""Segments in the admin: their conditions, how many members they have now, and some of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tmtp.admin.base import AnyQuery
from tmtp.monitoring.words import grouped

from ..broadcasts import audience
from ..conf import conf
from ..errors import Refused
from ..models import Broadcast, Condition, Segment
from . import kinds


class ConditionForm(forms.ModelForm):
    """A condition, of the kinds that this site has."""

    kind = forms.ChoiceField(label=_("Condition"))

    class Meta:
        model = Condition
        fields = ["exclude", "kind", "value"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        found = [(name, kind.label) for name, kind in kinds.available().items() if _is_usable(name)]
        self.fields["kind"].choices = [("", "---------"), *found]  # type: ignore[attr-defined]


def _is_usable(name: str) -> bool:
    return name != "function" or bool(conf.BROADCAST_SEGMENTS)


class ConditionInline(admin.StackedInline):
    """The conditions of a segment."""

    model = Condition
    form = ConditionForm
    extra = 1
    fields = ["kind", "value", "exclude"]

    class Media:
        js = ["tmtp/admin.js"]


@admin.register(Segment)
class SegmentAdmin(AnyQuery):
    """Segments."""

    list_display = ["name", "match", "begin"]
    search_fields = ["name"]
    inlines = [ConditionInline]
    readonly_fields = ["members"]

    def get_fields(self, request: HttpRequest, obj: Segment | None = None) -> Any:
        """Show the members of a segment that is saved."""
        return ["name", "match", *(["members"] if obj else [])]

    @admin.display(description=_("members"))
    def members(self, segment: Segment) -> Any:
        """Return how many there are now, and some of their names."""
        meant = Broadcast(segment=segment)
        try:
            audience.check(meant)
            number, names = audience.count(meant), audience.sample(meant)
        except Refused as refused:
            return refused.text_for_people()
        if not names:
            return gettext("Nobody at the moment.")
        said = ngettext(
            "%(number)s member at the moment, among them: %(names)s",
            "%(number)s members at the moment, among them: %(names)s",
            number,
        )
        return said % {"number": grouped(number), "names": ", ".join(names)}

    @admin.display(description=_("use"))
    def begin(self, segment: Segment) -> Any:
        """Return a link to a new broadcast."""
        address = reverse("admin:tmtp_delivery_broadcast_add", current_app=self.admin_site.name)
        return format_html('<a href="{}?segment={}">{}</a>', address, segment.pk, gettext("New broadcast"))
