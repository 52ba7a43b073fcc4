"""Broadcasts in the admin: the list, and the form of a draft. `pages` has the other pages, `library` the templates."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tmtp.monitoring.words import grouped

from ..models import Broadcast, Template
from . import audience
from .files import attach
from .forms import DraftForm
from .pages import BroadcastPages

State = Broadcast.State


@admin.register(Broadcast)
class BroadcastAdmin(BroadcastPages):
    """Broadcasts. Only drafts can be changed. Broadcasts that are scheduled, running or paused cannot be deleted."""

    form = DraftForm
    list_display = ["subject", "shown_state", "progress", "when"]
    list_filter = ["state"]
    search_fields = ["subject"]
    ordering = ["-pk"]
    actions = None
    list_per_page = 50
    show_full_result_count = False
    autocomplete_fields = ["groups", "account_groups"]
    change_form_template = "admin/tmtp_delivery/broadcast/change_form.html"
    fieldsets = [
        (None, {"fields": ["subject", "body", "files", "attach"]}),
        (
            _("Audience"),
            {
                "description": _("Everyone, or users who meet all of these conditions."),
                "fields": ["everyone", "segment", "groups", *audience.ABOUT_ACCOUNTS],
            },
        ),
        (_("Rate"), {"fields": ["rate"]}),
    ]

    class Media:
        css = {"all": ["tmtp/admin.css", "tmtp_delivery/admin.css"]}

    # the list

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, broadcast: Broadcast) -> str:
        """Return the state, and whether there is a problem."""
        name = broadcast.get_state_display()
        return gettext("%(state)s: a problem") % {"state": name} if broadcast.problem else name

    @admin.display(description=_("queued for"))
    def progress(self, broadcast: Broadcast) -> str:
        """Return how many recipients it was queued for, of how many."""
        if broadcast.repeats:
            return ngettext("%(number)s run", "%(number)s runs", broadcast.repeats) % {
                "number": grouped(broadcast.repeats)
            }
        if not broadcast.chosen:
            return ""
        return gettext("%(sent)s of %(total)s") % {"sent": grouped(broadcast.sent), "total": grouped(broadcast.total)}

    @admin.display(description=_("when"), ordering="send_at")
    def when(self, broadcast: Broadcast) -> Any:
        """Return the time when it began, or is to begin."""
        return broadcast.started or broadcast.send_at

    # the draft

    def get_fieldsets(self, request: HttpRequest, obj: Broadcast | None = None) -> Any:
        """Leave out conditions on fields that the account model does not have."""
        missing = audience.ABOUT_ACCOUNTS.keys() - audience.conditions()
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in missing]})
            for title, options in self.fieldsets or []
        ]

    def save_model(self, request: HttpRequest, obj: Broadcast, form: Any, change: bool) -> None:
        """Store the author."""
        if not change:
            obj.by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Attach the files."""
        super().save_related(request, form, formsets, change)
        attach(form.instance, form.cleaned_data["attach"])

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with a template or a segment: `?template=ID`, `?segment=ID`."""
        wanted = request.GET.get("template", "")
        template = Template.objects.filter(pk=int(wanted)).first() if wanted.isdecimal() else None
        text = {"subject": template.subject, "body": template.body} if template else {}
        return {**text, "segment": request.GET.get("segment")}

    def has_delete_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """Forbid it while the broadcast is scheduled, running or paused."""
        on_its_way = (State.SCHEDULED, State.RUNNING, State.PAUSED)
        return super().has_delete_permission(request, obj) and not (obj and obj.state in on_its_way)

    def has_change_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """Allow it for drafts only."""
        return super().has_change_permission(request, obj) and (obj is None or obj.editable)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """Show the form of a draft, or the progress of a broadcast."""
        broadcast = self.get_object(request, object_id)
        if broadcast is None or broadcast.editable:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        return self._page(request, broadcast, "status", self._status(request, broadcast))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> HttpResponse:
        """Leave one main button, which leads to the review. Offer the templates for a new one."""
        context["templates"] = [] if context.get("original") else Template.objects.all()
        return super().render_change_form(request, {**context, "show_save_and_add_another": False}, *args, **options)

    def response_add(self, request: HttpRequest, obj: Broadcast, post_url_continue: Any = None) -> HttpResponse:
        """Redirect to the review."""
        return self._saved(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Broadcast) -> HttpResponse:
        """Redirect to the review."""
        return self._saved(request, obj) or super().response_change(request, obj)

    def _saved(self, request: HttpRequest, obj: Broadcast) -> HttpResponse | None:
        return HttpResponseRedirect(self._url("review", obj)) if "_save" in request.POST else None
