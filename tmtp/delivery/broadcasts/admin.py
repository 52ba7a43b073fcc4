"""Broadcasts in the admin: a draft is a form; a review shows it, and to how many; then there is only progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
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

from .. import marks
from ..models import Broadcast
from ..templatetags.broadcasts import figure
from . import audience, verbs
from .forms import DraftForm, SendForm
from .reporting import report

State = Broadcast.State


@dataclass(frozen=True)
class Verb:
    """A button on the page of a broadcast: in which states it is there, and what it asks first, if anything."""

    name: str
    button: Any
    does: Callable[[Broadcast], None]
    states: tuple[State, ...]
    question: Any = ""

    def fits(self, broadcast: Broadcast) -> bool:
        """Whether it can be done now."""
        return broadcast.state in self.states and not (self.name == "take_back" and broadcast.recalled)


VERBS = (
    Verb("pause", _("Pause"), verbs.pause, (State.RUNNING,)),
    Verb("resume", _("Resume"), verbs.resume, (State.PAUSED,)),
    Verb("start", _("Send now"), verbs.start, (State.SCHEDULED,), _("Send it now, without waiting for its time?")),
    Verb("unschedule", _("Make it a draft again"), verbs.unschedule, (State.SCHEDULED,)),
    Verb(
        "cancel",
        _("Cancel the broadcast"),
        verbs.cancel,
        (State.SCHEDULED, State.RUNNING, State.PAUSED),
        _("Send it to nobody else? Who has it already keeps it. It cannot be continued."),
    ),
    Verb(
        "take_back",
        _("Take it back"),
        verbs.take_back,
        (State.RUNNING, State.PAUSED, State.CANCELLED, State.DONE),
        _("Take it back from everyone who has not received it yet? Who has it already keeps it."),
    ),
)


@admin.register(Broadcast)
class BroadcastAdmin(admin.ModelAdmin):
    """Broadcasts. Only a draft can be changed; what is being sent or scheduled cannot be deleted."""

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
            _("To whom"),
            {
                "description": _("Everyone, or those who fulfil all conditions that are set."),
                "fields": ["everyone", "groups", *audience.ABOUT_ACCOUNTS],
            },
        ),
        (_("How fast"), {"fields": ["rate"]}),
    ]

    class Media:
        css = {"all": ["tmtp_delivery/admin.css"]}

    # the list

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, broadcast: Broadcast) -> str:
        """What is going on, and whether something is wrong."""
        name = broadcast.get_state_display()
        return gettext("%(state)s: a problem") % {"state": name} if broadcast.problem else name

    @admin.display(description=_("queued for"))
    def progress(self, broadcast: Broadcast) -> str:
        """How many have it in their queues, of how many."""
        if not broadcast.chosen:
            return ""
        return gettext("%(sent)s of %(total)s") % {"sent": figure(broadcast.sent), "total": figure(broadcast.total)}

    @admin.display(description=_("when"), ordering="send_at")
    def when(self, broadcast: Broadcast) -> Any:
        """When it began, or is to begin."""
        return broadcast.started or broadcast.send_at

    # the draft

    def get_fieldsets(self, request: HttpRequest, obj: Broadcast | None = None) -> Any:
        """Without conditions that the site's accounts know nothing of."""
        missing = audience.ABOUT_ACCOUNTS.keys() - audience.conditions()
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in missing]})
            for title, options in self.fieldsets or []
        ]

    def save_model(self, request: HttpRequest, obj: Broadcast, form: Any, change: bool) -> None:
        """Note who wrote it."""
        if not change:
            obj.by = request.user  # type: ignore[assignment]
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """Not while it is on its way."""
        on_its_way = (State.SCHEDULED, State.RUNNING, State.PAUSED)
        return super().has_delete_permission(request, obj) and not (obj and obj.state in on_its_way)

    def has_change_permission(self, request: HttpRequest, obj: Broadcast | None = None) -> bool:
        """A draft only."""
        return super().has_change_permission(request, obj) and (obj is None or obj.editable)

    def may_send(self, request: HttpRequest) -> bool:
        """Who may write broadcasts may send them."""
        return super().has_change_permission(request)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """The form of a draft, or how far the broadcast is."""
        broadcast = self.get_object(request, object_id)
        if broadcast is None or broadcast.editable:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        return self._page(request, broadcast, "status", self._status(request, broadcast))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **options: Any) -> HttpResponse:
        """One main button: on to the review."""
        return super().render_change_form(request, {**context, "show_save_and_add_another": False}, **options)

    def response_add(self, request: HttpRequest, obj: Broadcast, post_url_continue: Any = None) -> HttpResponse:
        """On to the review."""
        return self._saved(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Broadcast) -> HttpResponse:
        """On to the review."""
        return self._saved(request, obj) or super().response_change(request, obj)

    def _saved(self, request: HttpRequest, obj: Broadcast) -> HttpResponse | None:
        return HttpResponseRedirect(self._url("review", obj)) if "_save" in request.POST else None

    # the pages of one broadcast

    def get_urls(self) -> list[URLPattern]:
        """Review, progress, and a page for each verb."""
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/review/", wrap(self.review), name="tmtp_delivery_broadcast_review"),
            path("<int:pk>/progress/", wrap(self.progress_part), name="tmtp_delivery_broadcast_progress"),
            path("<int:pk>/do/<slug:name>/", wrap(self.do), name="tmtp_delivery_broadcast_do"),
            *super().get_urls(),
        ]

    def review(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The message as members will see it, to how many, and the buttons that send it."""
        broadcast = self._get(request, pk)
        if not broadcast.editable:
            return HttpResponseRedirect(self._url("change", broadcast))
        form = SendForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            at = form.cleaned_data["send_at"]
            did = gettext("It is scheduled.") if at else gettext("It is being sent.")
            if self._try(request, broadcast, (lambda one: verbs.schedule(one, at)) if at else verbs.start, did):
                return HttpResponseRedirect(self._url("change", broadcast))
        context = {
            "form": form,
            "text": render(broadcast.body),
            "audience": audience.described(broadcast),
            "number": audience.count(broadcast),
            "title": gettext("Preview"),
        }
        return self._page(request, broadcast, "review", context)

    def progress_part(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that is fetched again and again; another state makes the whole page come anew."""
        broadcast = get_object_or_404(Broadcast, pk=pk)
        if not self.has_view_permission(request, broadcast):
            raise PermissionDenied
        response = self._page(request, broadcast, "_progress", self._status(request, broadcast))
        if request.GET.get("state") != str(broadcast.state):
            response["HX-Refresh"] = "true"
        return response

    def do(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Do what a button says, or ask about it."""
        broadcast = self._get(request, pk)
        verb = next((verb for verb in VERBS if verb.name == name), None)
        if verb is None:
            raise Http404
        if request.method != "POST" or (verb.question and not request.POST.get("confirmed")):
            return self._page(request, broadcast, "ask", {"verb": verb, "title": verb.button})
        self._try(request, broadcast, verb.does, gettext("Done: %(verb)s.") % {"verb": verb.button})
        return HttpResponseRedirect(self._url("change", broadcast))

    def _get(self, request: HttpRequest, pk: int) -> Broadcast:
        if not self.may_send(request):
            raise PermissionDenied
        return get_object_or_404(Broadcast, pk=pk)

    def _try(self, request: HttpRequest, broadcast: Broadcast, does: Callable[[Broadcast], Any], did: str) -> bool:
        try:
            with transaction.atomic():
                does(broadcast)
        except Refused as refused:
            self.message_user(request, refused.text_for_people(), messages.ERROR)
            return False
        self.log_change(request, broadcast, did)
        self.message_user(request, did, messages.SUCCESS)
        return True

    def _status(self, request: HttpRequest, broadcast: Broadcast) -> dict[str, Any]:
        counts = report(broadcast) if broadcast.sent else {}
        labels = {
            "queued": _("waiting"),
            "sent": _("sent to a device"),
            "delivered": _("on every device"),
            "read": _("read in the mailbox"),
            "undeliverable": _("undeliverable"),
        }
        return {
            "title": broadcast.subject,
            "text": render(broadcast.body),
            "audience": audience.described(broadcast),
            "verbs": [verb for verb in VERBS if verb.fits(broadcast)] if self.may_send(request) else [],
            "left": max(0, broadcast.total - broadcast.sent),
            "runs": broadcast.state == State.RUNNING,
            "counts": [(labels[state], number) for state, number in counts.items()],
            "no_worker": broadcast.state in (State.RUNNING, State.SCHEDULED) and marks.worker_is_late(),
            "script": htmx_script() if broadcast.state == State.RUNNING else "",
        }

    def _page(self, request: HttpRequest, broadcast: Broadcast, name: str, context: dict[str, Any]) -> Any:
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


def htmx_script() -> str:
    """What lets the page refresh its progress, where the site has it; else there is a link that does."""
    if not apps.is_installed("django_htmx"):
        return ""
    from django_htmx.jinja import htmx_script as script

    return script()
