"""Servers: which run, when they were last seen, and how many nodes are online there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from ..models import Node, ServerLease
from ..services.queue.leases import LIFETIME
from .base import ViewAdmin
from .waiting import RowsOf

COUNTED = 100_000


@admin.register(ServerLease)
class ServerAdmin(ViewAdmin):
    """Server processes. One that has ended is gone from the list, one that was killed stays until the next starts."""

    list_display = ["server", "runs", "host", "pid", "started", "seen", "nodes_online"]
    fields = ["server", "runs", "host", "pid", "started", "seen", "nodes_online"]
    ordering = ["-seen"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServerLease]:
        """With the number of nodes online, counted in the index."""
        nodes = Node.objects.filter(server=OuterRef("pk")).values("pk")
        leases: QuerySet[ServerLease] = super().get_queryset(request)
        return leases.annotate(online=RowsOf(nodes[:COUNTED]))

    @admin.display(description=_("address"), ordering="address")
    def server(self, lease: ServerLease) -> str:
        """Where it listens; a server that the site's own ASGI server runs does not say."""
        return lease.address or str(_("in the website’s process"))

    @admin.display(description=_("runs"), boolean=True)
    def runs(self, lease: ServerLease) -> bool:
        """Whether it was seen lately."""
        return lease.seen > timezone.now() - LIFETIME

    @admin.display(description=_("nodes online"), ordering="online")
    def nodes_online(self, lease: Any) -> str:
        """How many."""
        return number_format(lease.online, use_l10n=True, force_grouping=True)
