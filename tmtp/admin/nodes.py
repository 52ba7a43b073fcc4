"""Nodes: what waits for each, and what can be done about it: drop the device, send again, discard."""

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
from ..services.people import users
from .base import ViewAdmin, attempt, name_of
from .confirm import ask
from .filters import InUseFilter, OnlineFilter, WaitingFilter
from .waiting import shown_age, shown_count, shown_octets, with_waiting

COUNTED_ON_ITS_PAGE, WEIGHED_ON_ITS_PAGE = 100_000, 10_000


@dataclass(frozen=True)
class Verb:
    """Something done to nodes: what asks for it, the service that does it, and whether to devices alone."""

    button: Any
    question: Any
    service: Callable[[Node], object]
    device: bool = True

    def fits(self, node: Node) -> bool:
        """Whether it makes sense for a node of this kind."""
        return not self.device or node.kind == Node.Kind.DEVICE


VERBS = {
    "redeliver": Verb(
        _("Send again"),
        _("Send everything that waits again, from the first message on, without closing the link?"),
        users.redeliver,
    ),
    "discard": Verb(
        _("Discard waiting messages"),
        _("Discard everything that waits for these nodes? They will never receive it."),
        users.discard_waiting,
        device=False,
    ),
    "drop": Verb(
        _("Drop"),
        _("Drop these nodes? Their links close, what waits for them is discarded, and they cannot log in again."),
        users.drop_node,
    ),
}


def label_of(node: Node) -> str:
    """Its label, or what it is when it has none."""
    return node.label or node.get_kind_display()


@admin.register(Node)
class NodeAdmin(ViewAdmin):
    """Devices, mailboxes, and where messages wait for a first device. The hash of a secret is in no field here."""

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
        """With what waits, counted further on the page of a single node, and the name people know its user by."""
        match = request.resolver_match
        limits = [COUNTED_ON_ITS_PAGE, WEIGHED_ON_ITS_PAGE] if match and "object_id" in match.kwargs else []
        names = Alias.objects.filter(user=OuterRef("user"), dropped=None).order_by("pk")
        nodes = super().get_queryset(request).annotate(known_as=Subquery(names.values("name")[:1]))
        return with_waiting(nodes, *limits)

    @admin.display(description=_("label"), ordering="label")
    def name(self, node: Node) -> str:
        """What its user calls the device; what it is, when it is none."""
        return label_of(node)

    @admin.display(description=_("online"), ordering="server")
    def online(self, node: Node) -> str:
        """Whether it is connected: a word, since most are not at any time, and some never are."""
        return str(_("yes")) if node.server_id else ""

    @admin.display(description=_("user"), ordering="user")
    def owner(self, node: Any) -> str:
        """Whose it is."""
        where = reverse("admin:tmtp_user_change", args=[node.user_id], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', where, name_of(node.user, node.known_as))

    @admin.display(description=_("last seen"), ordering="last_seen")
    def seen(self, node: Node) -> str:
        """When it was last connected."""
        if node.dropped:
            return str(_("dropped"))
        if node.server_id or node.kind != Node.Kind.DEVICE:
            return ""
        return _("%(time)s ago") % {"time": timesince(node.last_seen)} if node.last_seen else str(_("never"))

    @admin.display(description=_("waiting"))
    def waiting(self, node: Any) -> str:
        """How many messages, and how large their bodies are."""
        return f"{shown_count(node)} · {shown_octets(node)}" if node.waiting else "0"

    @admin.display(description=_("oldest"), ordering=F("oldest").asc(nulls_last=True))
    def oldest(self, node: Any) -> str:
        """For how long the first one has been waiting."""
        return shown_age(node)

    # what can be done

    @admin.action(description=_("Send what waits again"), permissions=["act"])
    def redeliver(self, request: HttpRequest, nodes: QuerySet[Node]) -> None:
        """Nothing is lost by it, so nothing is asked."""
        self._do(request, nodes, "redeliver")

    @admin.action(description=_("Discard what waits"), permissions=["act"])
    def discard(self, request: HttpRequest, nodes: QuerySet[Node]) -> HttpResponse | None:
        """Ask, then discard."""
        return self._ask_first(request, nodes, "discard")

    @admin.action(description=_("Drop nodes"), permissions=["act"])
    def drop(self, request: HttpRequest, nodes: QuerySet[Node]) -> HttpResponse | None:
        """Ask, then drop."""
        return self._ask_first(request, nodes, "drop")

    def _ask_first(self, request: HttpRequest, nodes: QuerySet[Node], name: str) -> HttpResponse | None:
        question = self._ask(request, nodes, name)
        if question is None:
            self._do(request, nodes, name)
        return question

    def _ask(self, request: HttpRequest, nodes: QuerySet[Node], name: str) -> HttpResponse | None:
        verb = VERBS[name]

        def describe(node: Any) -> str:
            return f"{label_of(node)} · {name_of(node.user, node.known_as)}"

        return ask(self, request, nodes, describe, action=name, question=str(verb.question), button=str(verb.button))

    def _do(self, request: HttpRequest, nodes: QuerySet[Node], name: str) -> None:
        """Each node in a transaction of its own, so that a server that writes meanwhile waits for one at most."""
        verb, done = VERBS[name], 0
        text: Any
        for node in Node.objects.filter(pk__in=list(nodes.values_list("pk", flat=True))):
            if not verb.fits(node):
                text = _("“%(node)s” is no device: it was left alone.") % {"node": label_of(node)}
                self.message_user(request, text, messages.WARNING)
            elif attempt(request, partial(verb.service, node)):
                done += 1
                self.log_change(request, node, str(verb.button))
        if done:
            text = ngettext("%(verb)s: done for %(count)d node.", "%(verb)s: done for %(count)d nodes.", done)
            self.message_user(request, text % {"verb": verb.button, "count": done}, messages.SUCCESS)

    # the buttons on the page of one node

    def get_urls(self) -> list[URLPattern]:
        """A question for each button; the answer goes to the list's actions."""
        view = self.admin_site.admin_view(self.question)
        return [path("<int:pk>/ask/<slug:name>/", view, name="tmtp_node_question"), *super().get_urls()]

    def question(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Ask about one node."""
        if name not in VERBS:
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
        """With buttons, for who may use them."""
        node = Node.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        fitting = {name: verb for name, verb in VERBS.items() if node and verb.fits(node)}
        context = {"verbs": fitting if self.has_act_permission(request) else {}, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)
