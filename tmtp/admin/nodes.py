"""Nodes and their waiting messages, with actions: send again, discard, drop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import Alias, Node
from ..protocol.values import whole_number
from ..services.people import devices
from .base import ViewAdmin, attempt, name_of
from .confirm import ask
from .filters import InUseFilter, OnlineFilter, WaitingFilter
from .waiting import shown_age, shown_count, shown_octets, with_waiting

COUNT_LIMIT, OCTETS_LIMIT = 100_000, 10_000


@dataclass(frozen=True)
class NodeAction:
    """An action on nodes: its texts, the service that runs it, and whether it is for devices only."""

    button: Any
    question: Any
    service: Callable[[Node], object]
    device: bool = True

    def applies_to(self, node: Node) -> bool:
        return not self.device or node.kind == Node.Kind.DEVICE


NODE_ACTIONS = {
    "redeliver": NodeAction(
        _("Send again"),
        _("Resend all waiting messages, from the first one, without closing the link?"),
        devices.redeliver,
    ),
    "discard": NodeAction(
        _("Discard waiting messages"),
        _("Discard all waiting messages of these devices? They will never receive them."),
        devices.discard_waiting,
        device=False,
    ),
    "drop": NodeAction(
        _("Remove"),
        _(
            "Remove these devices? They are disconnected, their waiting messages are discarded, and they cannot "
            "log in again."
        ),
        devices.drop_node,
    ),
}


def label_of(node: Node) -> str:
    """Return the node's label, or its kind if it has none."""
    return node.label or node.get_kind_display()


@admin.register(Node)
class NodeAdmin(ViewAdmin):
    """Devices, mailboxes and placeholders for a first device. No field shows the hash of a secret."""

    list_display = ["name", "owner", "online", "seen", "waiting", "oldest"]
    list_filter = ["kind", WaitingFilter, OnlineFilter, InUseFilter]
    list_select_related = ["user__account", "server"]
    search_fields = ["label", "user__uid__startswith", "user__aliases__name"]
    search_help_text = _("Label, alias, or the beginning of a uid")
    ordering = [F("dropped").asc(nulls_first=True), "-pk"]
    actions = ["redeliver", "discard", "drop"]
    change_form_template = "admin/tmtp/node/change_form.html"
    fieldsets = [
        (None, {"fields": ["name", "kind", "owner", "created", "verified", "dropped"]}),
        (_("Connection"), {"fields": ["server", "last_seen"]}),
        (_("Waiting messages"), {"fields": ["waiting", "oldest", "full_since"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        """Annotate the user's first alias and the waiting messages, with higher limits on the page of one node."""
        match = request.resolver_match
        limits = [COUNT_LIMIT, OCTETS_LIMIT] if match and "object_id" in match.kwargs else []
        names = Alias.objects.filter(user=OuterRef("user"), dropped=None).order_by("pk")
        nodes = super().get_queryset(request).annotate(known_as=Subquery(names.values("name")[:1]))
        return with_waiting(nodes, *limits)

    @admin.display(description=_("label"), ordering="label")
    def name(self, node: Node) -> str:
        return label_of(node)

    @admin.display(description=_("online"), ordering="server")
    def online(self, node: Node) -> str:
        """Return "yes" or nothing: a column of icons would stress the many nodes that are offline."""
        return str(_("yes")) if node.server_id else ""

    @admin.display(description=_("user"), ordering="user")
    def owner(self, node: Any) -> str:
        where = reverse("admin:tmtp_user_change", args=[node.user_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, name_of(node.user, node.known_as))

    @admin.display(description=_("last seen"), ordering="last_seen")
    def seen(self, node: Node) -> str:
        if node.dropped:
            return str(_("removed"))
        if node.server_id or node.kind != Node.Kind.DEVICE:
            return ""
        return _("%(time)s ago") % {"time": timesince(node.last_seen)} if node.last_seen else str(_("never"))

    @admin.display(description=_("waiting"))
    def waiting(self, node: Any) -> str:
        """Return the number of messages and the size of their bodies."""
        return f"{shown_count(node)} · {shown_octets(node)}" if node.waiting else "0"

    @admin.display(description=_("oldest"), ordering=F("oldest").asc(nulls_last=True))
    def oldest(self, node: Any) -> str:
        """Return how long the first message has been waiting."""
        return shown_age(node)

    # the actions

    @admin.action(description=_("Resend waiting messages"), permissions=["act"])
    def redeliver(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        """Run without confirmation, since nothing can be lost."""
        self._do(request, nodes, "redeliver")

    @admin.action(description=_("Discard waiting messages"), permissions=["act"])
    def discard(self, request: HttpRequest, nodes: QuerySet[Node]) -> HttpResponse | None:
        return self._ask_first(request, nodes, "discard")

    @admin.action(description=_("Remove devices"), permissions=["act"])
    def drop(self, request: HttpRequest, nodes: QuerySet[Node]) -> HttpResponse | None:
        return self._ask_first(request, nodes, "drop")

    def _ask_first(self, request: HttpRequest, nodes: QuerySet[Node], name: str) -> HttpResponse | None:
        question = self._ask(request, nodes, name)
        if question is None:
            self._do(request, nodes, name)
        return question

    def _ask(self, request: HttpRequest, nodes: QuerySet[Node], name: str) -> HttpResponse | None:
        action = NODE_ACTIONS[name]

        def describe(node: Any) -> str:
            return f"{label_of(node)} · {name_of(node.user, node.known_as)}"

        return ask(
            self, request, nodes, describe, action=name, question=str(action.question), button=str(action.button)
        )

    def _do(self, request: HttpRequest, nodes: QuerySet[Node], name: str) -> None:
        """Run the action in a transaction for each node, so that servers never wait for more than one."""
        action, done = NODE_ACTIONS[name], 0
        text: Any
        for node in Node.objects.filter(pk__in=list(nodes.values_list("pk", flat=True))):
            if not action.applies_to(node):
                text = _("“%(node)s” is not a device and was skipped.") % {"node": label_of(node)}
                self.message_user(request, text, messages.WARNING)
            elif attempt(request, partial(action.service, node)):
                done += 1
                self.log_change(request, node, str(action.button))
        if done:
            text = ngettext("%(action)s: done for %(count)d device.", "%(action)s: done for %(count)d devices.", done)
            self.message_user(request, text % {"action": action.button, "count": done}, messages.SUCCESS)

    # the buttons on the page of one node

    def get_urls(self) -> list[URLPattern]:
        """Add a confirmation page for each button. Its form posts to the changelist, as an action."""
        view = self.admin_site.admin_view(self.question)
        return [path("<int:pk>/ask/<slug:name>/", view, name="tmtp_node_question"), *super().get_urls()]

    def question(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Show the confirmation page for one node."""
        if name not in NODE_ACTIONS:
            raise Http404
        if not self.has_act_permission(request):
            raise PermissionDenied
        get_object_or_404(Node, pk=pk)
        answer = self._ask(request, self.get_queryset(request).filter(pk=pk), name)
        assert answer is not None
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add buttons for the actions, for users who may run them."""
        node = Node.objects.filter(pk=whole_number(object_id) or 0).first()
        fitting = {name: action for name, action in NODE_ACTIONS.items() if node and action.applies_to(node)}
        context = {"node_actions": fitting if self.has_act_permission(request) else {}, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)
