"""Broadcasts in the admin: the form of a draft, its review, and the progress page once it is scheduled or sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tmtp.markup import render
from tmtp.services.errors import Refused
from tmtp.services.queue.reports import State as Delivery
from tmtp.web.htmx import htmx_script

from .. import workers
from ..models import Broadcast
from ..templatetags.tmtp_delivery import figure
from . import audience, lifecycle
from .buttons import BUTTONS
from .forms import DraftForm, SendForm
from .reporting import report

State = Broadcast.State


@admin.register(Broadcast)
class BroadcastAdmin(admin.ModelAdmin):
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
        (None, {"fields": ["subject", "body"]}),
        (
            _("Audience"),
            {
                "description": _("Everyone, or users who meet all of these conditions."),
                "fields": ["everyone", "groups", *audience.ABOUT_ACCOUNTS],
            },
        ),
        (_("Rate"), {"fields": ["rate"]}),
    ]

    class Media:
        css = {"all": ["tmtp_delivery/admin.css"]}

    # the list

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, broadcast: Broadcast) -> str:
        """Return the state, and whether there is a problem."""
        name = broadcast.get_state_display()
        return gettext("%(state)s: a problem") % {"state": name} if broadcast.problem else name

    @admin.display(description=_("queued for"))
    def progress(self, broadcast: Broadcast) -> str:
        """Return how many recipients it was queued for, of how many."""
        if not broadcast.chosen:
            return ""
        return gettext("%(sent)s of %(total)s") % {"sent": figure(broadcast.sent), "total": figure(broadcast.total)}

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

    def has_delete_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """Forbid it while the broadcast is scheduled, running or paused."""
        on_its_way = (State.SCHEDULED, State.RUNNING, State.PAUSED)
        return super().has_delete_permission(request, obj) and not (obj and obj.state in on_its_way)

    def has_change_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """Allow it for drafts only."""
        return super().has_change_permission(request, obj) and (obj is None or obj.editable)

    def may_send(self, request: HttpRequest) -> bool:
        """Return whether the user may send broadcasts: those who may change drafts may."""
        return super().has_change_permission(request)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """Show the form of a draft, or the progress of a broadcast."""
        broadcast = self.get_object(request, object_id)
        if broadcast is None or broadcast.editable:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        return self._page(request, broadcast, "status", self._status(request, broadcast))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> HttpResponse:
        """Leave one main button, which leads to the review."""
        return super().render_change_form(request, {**context, "show_save_and_add_another": False}, *args, **options)

    def response_add(self, request: HttpRequest, obj: Broadcast, post_url_continue: Any = None) -> HttpResponse:
        """Redirect to the review."""
        return self._saved(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Broadcast) -> HttpResponse:
        """Redirect to the review."""
        return self._saved(request, obj) or super().response_change(request, obj)

    def _saved(self, request: HttpRequest, obj: Broadcast) -> HttpResponse | None:
        return HttpResponseRedirect(self._url("review", obj)) if "_save" in request.POST else None

    # the pages of one broadcast

    def get_urls(self) -> list[URLPattern]:
        """Add the review, the progress, and the actions of buttons."""
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/review/", wrap(self.review), name="tmtp_delivery_broadcast_review"),
            path("<int:pk>/progress/", wrap(self.progress_part), name="tmtp_delivery_broadcast_progress"),
            path("<int:pk>/do/<slug:name>/", wrap(self.do), name="tmtp_delivery_broadcast_do"),
            *super().get_urls(),
        ]

    def review(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the message as members will see it, the size of its audience, and the buttons that send it."""
        broadcast = self._get(request, pk)
        if not broadcast.editable:
            return HttpResponseRedirect(self._url("change", broadcast))
        form = SendForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            at = form.cleaned_data["send_at"]
            did = gettext("It is scheduled.") if at else gettext("It is being sent.")
            if self._try(
                request, broadcast, (lambda one: lifecycle.schedule(one, at)) if at else lifecycle.start, did
            ):
                return HttpResponseRedirect(self._url("change", broadcast))
        context = {
            "form": form,
            "text": render(broadcast.body),
            "audience": audience.describe(broadcast),
            "number": audience.count(broadcast),
            "title": gettext("Preview"),
        }
        return self._page(request, broadcast, "review", context)

    def progress_part(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part of the page that htmx fetches repeatedly; reload the page when the state has changed."""
        broadcast = get_object_or_404(Broadcast, pk=pk)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        response = self._page(request, broadcast, "_progress", self._status(request, broadcast))
        if request.GET.get("state") != str(broadcast.state):
            response["HX-Refresh"] = "true"
        return response

    def do(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Do what a button says, or ask for confirmation first."""
        broadcast = self._get(request, pk)
        button = next((button for button in BUTTONS if button.name == name), None)
        if button is None:
            raise Http404
        if request.method != "POST" or (button.question and not request.POST.get("confirmed")):
            return self._page(request, broadcast, "ask", {"button": button, "title": button.label})
        self._try(request, broadcast, button.action, gettext("Done: %(button)s.") % {"button": button.label})
        return HttpResponseRedirect(self._url("change", broadcast))

    def _get(self, request: HttpRequest, pk: int) -> Broadcast:
        if not self.may_send(request):
            raise PermissionDenied
        return get_object_or_404(Broadcast, pk=pk)

    def _try(self, request: HttpRequest, broadcast: Broadcast, action: Callable[[Broadcast], Any], did: str) -> bool:
        try:
            with transaction.atomic():
                action(broadcast)
        except Refused as refused:
            self.message_user(request, refused.text_for_people(), messages.ERROR)
            return False
        self.log_change(request, broadcast, did)
        self.message_user(request, did, messages.SUCCESS)
        return True

    def _status(self, request: HttpRequest, broadcast: Broadcast) -> dict[str, Any]:
        counts = report(broadcast) if broadcast.sent else {}
        return {
            "title": broadcast.subject,
            "text": render(broadcast.body),
            "audience": audience.describe(broadcast),
            "buttons": [one for one in BUTTONS if one.fits(broadcast)] if self.may_send(request) else [],
            "left": max(0, broadcast.total - broadcast.sent),
            "runs": broadcast.state == State.RUNNING,
            "counts": [(Delivery(state).label, number) for state, number in counts.items()],
            "no_worker": broadcast.state in (State.RUNNING, State.SCHEDULED) and workers.are_missing(),
            "script": htmx_script() if broadcast.state == State.RUNNING else "",
        }

    def _page(self, request: HttpRequest, broadcast: Broadcast, name: str, context: dict[str, Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": broadcast,
            "media": self.media,
            "progress_url": self._url("progress", broadcast),
            **context,
        }
        return TemplateResponse(request, f"admin/tmtp_delivery/broadcast/{name}.html", context)

    def _url(self, name: str, broadcast: Broadcast) -> str:
        return reverse(f"admin:tmtp_delivery_broadcast_{name}", args=[broadcast.pk], current_app=self.admin_site.name)
