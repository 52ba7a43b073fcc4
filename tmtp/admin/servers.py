"""Servers: whether they run, when they were last seen, and how many nodes are connected to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from ..models import Node, ServerLease
from ..services.queue.leases import fresh
from . import figures
from .base import ViewAdmin
from .waiting import RowsOf

COUNT_LIMIT = 100_000


@admin.register(ServerLease)
class ServerAdmin(ViewAdmin):
    """Server processes. A server that was killed stays in the list for about a minute."""

    list_display = ["server", "runs", "host", "pid", "started", "seen", "nodes_online"]
    fields = ["server", "runs", "host", "pid", "started", "seen", "nodes_online"]
    ordering = ["-seen"]

    def get_urls(self) -> list[URLPattern]:
        """Add the page with figures."""
        return [*figures.urls(self), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServerLease]:
        """Annotate the number of nodes that are online, counted in an index up to COUNT_LIMIT."""
        nodes = Node.objects.filter(server=OuterRef("pk")).values("pk")
        leases: QuerySet[ServerLease] = super().get_queryset(request)
        renewed = ExpressionWrapper(Q(seen__gte=fresh()), BooleanField())
        return leases.annotate(online=RowsOf(nodes[:COUNT_LIMIT]), renewed=renewed)

    @admin.display(description=_("address"), ordering="address")
    def server(self, lease: ServerLease) -> str:
        """Return where it listens. Servers within the site's own ASGI server do not know that."""
        return lease.address or str(_("in the website’s process"))

    @admin.display(description=_("running"), boolean=True)
    def runs(self, lease: Any) -> bool:
        renewed: bool = lease.renewed
        return renewed

    @admin.display(description=_("devices online"), ordering="online")
    def nodes_online(self, lease: Any) -> str:
        return number_format(lease.online, use_l10n=True, force_grouping=True)
