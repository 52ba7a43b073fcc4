"""The audit log, which can only be read here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import AuditEntry
from .base import ViewAdmin

# What services record. The admin's own changes have a text under “message”.
LABELS = {
    "due": _("due"),
    "report": _("number of the report"),
    "state": _("state"),
    "messages in mailboxes": _("messages in mailboxes"),
    "large messages in mailboxes": _("large messages in mailboxes"),
    "delivery reports": _("delivery reports"),
    "reports of abuse": _("reports of abuse"),
    "audit entries": _("audit entries"),
}


@admin.register(AuditEntry)
class AuditAdmin(ViewAdmin):
    """Who did what to whose data. Nothing can be added, changed or deleted here."""

    list_display = ["at", "shown_action", "about", "shown_actor", "shown_details"]
    list_filter = ["action", "by", "at"]
    search_fields = ["about", "about_key", "actor"]
    search_help_text = _("Name of a member, group or device, uid, or name of the actor")
    ordering = ["-pk"]
    date_hierarchy = "at"
    readonly_fields = ("at", "shown_action", "about", "about_key", "shown_actor", "shown_details")
    fields = readonly_fields

    @admin.display(description=_("action"), ordering="action")
    def shown_action(self, entry: AuditEntry) -> str:
        return entry.get_action_display()

    @admin.display(description=_("by"), ordering="actor")
    def shown_actor(self, entry: AuditEntry) -> str:
        """Return the kind of actor, and the name if it is known."""
        return f"{entry.get_by_display()}: {entry.actor}" if entry.actor else str(entry.get_by_display())

    @admin.display(description=_("details"))
    def shown_details(self, entry: AuditEntry) -> str:
        return " · ".join(
            str(value) if name == "message" else f"{LABELS.get(name, name)}: {value}"
            for name, value in entry.details.items()
        )

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}
