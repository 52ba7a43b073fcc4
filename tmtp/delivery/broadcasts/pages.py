"""The pages of one broadcast in the admin: its review before it is sent, its progress, and what its buttons do."""

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

from tmtp.admin.base import AnyQuery
from tmtp.markup import render
from tmtp.services.errors import Refused
from tmtp.services.queue.reports import State as Delivery
from tmtp.web.htmx import htmx_script

from .. import workers
from ..models import Broadcast
from . import audience, fields, files, lifecycle, pace, trial
from .buttons import BUTTONS
from .forms import SendForm
from .reporting import report

State = Broadcast.State
RUNS = 100  # that are shown


class BroadcastPages(AnyQuery):
    """The pages of one broadcast. Those who may change drafts may send them."""

    def may_send(self, request: HttpRequest) -> bool:
        """Return whether the user may send broadcasts."""
        return admin.ModelAdmin.has_change_permission(self, request)

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
        if "test" in request.POST:
            self._try(
                request, broadcast, lambda one: trial.send_test(one, request.user), gettext("A test was sent to you.")
            )
            return HttpResponseRedirect(self._url("review", broadcast))
        form = SendForm(request.POST or None, instance=broadcast)
        number, problem = self._number(broadcast)
        if request.method == "POST" and form.is_valid():
            if audience.is_large(broadcast, number) and "confirmed" not in request.POST:
                context = {"form": form, "number": number, "title": gettext("Are you sure?")}
                return self._page(request, broadcast, "confirm", context)
            if self._send(request, broadcast, form):
                return HttpResponseRedirect(self._url("change", broadcast))
        return self._page(
            request, broadcast, "review", {"form": form, **self._review(request, broadcast, number), **problem}
        )

    def _number(self, broadcast: Broadcast) -> tuple[int, dict[str, str]]:
        """Return the size of the audience, and what is wrong with it."""
        try:
            audience.check(broadcast)
            return audience.count(broadcast), {}
        except Refused as refused:
            return 0, {"problem": refused.text_for_people()}

    def _send(self, request: HttpRequest, broadcast: Broadcast, form: SendForm) -> bool:
        at = form.cleaned_data["send_at"]
        if at is None:
            return self._try(request, broadcast, lifecycle.start, gettext("It is being sent."))
        data = form.cleaned_data
        again = {"repeat": data["repeat"], "until": data["repeat_until"], "times": data["repeat_times"]}
        return self._try(
            request, broadcast, lambda one: lifecycle.schedule(one, at, **again), gettext("It is scheduled.")
        )

    def _review(self, request: HttpRequest, broadcast: Broadcast, number: int) -> dict[str, Any]:
        octets = files.size_of(broadcast)
        return {
            **self._letter(request, broadcast),
            "audience": audience.describe(broadcast),
            "number": number,
            "sample": audience.sample(broadcast) if number else [],
            "copies": octets * number if _has_fields(broadcast) else 0,
            "title": gettext("Preview"),
        }

    def _letter(self, request: HttpRequest, broadcast: Broadcast) -> dict[str, Any]:
        """Return the subject and text as the member `?as=` sees them, or whoever looks; and what is wrong."""
        shown = request.GET.get("as", "").strip()
        context = {"files": broadcast.files.order_by("pk"), "has_fields": _has_fields(broadcast), "shown_as": shown}
        try:
            to = trial.member(shown) if shown else request.user
            (letter,) = trial.letters(broadcast, [trial.one_user(to)])
        except Refused as refused:
            problem = refused.text_for_people()
            return {**context, "letter_subject": broadcast.subject, "text": render(broadcast.body), "problem": problem}
        return {**context, "letter_subject": letter.subject, "text": render(letter.body)}

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
            "files": broadcast.files.order_by("pk"),
            "audience": audience.describe(broadcast),
            "speed": pace.per_minute(broadcast),
            "end": pace.end(broadcast),
            "bars": pace.chart(broadcast),
            "buttons": [one for one in BUTTONS if one.fits(broadcast)] if self.may_send(request) else [],
            "left": max(0, broadcast.total - broadcast.sent),
            "is_running": broadcast.state == State.RUNNING,
            "counts": [(Delivery(state).label, number) for state, number in counts.items()],
            "runs": broadcast.runs.order_by("-pk")[:RUNS],
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


def _has_fields(broadcast: Broadcast) -> bool:
    """Return whether there are fields in it, which may be wrong ones."""
    try:
        return bool(fields.used(broadcast.subject, broadcast.body))
    except Refused:
        return True
