"""Filters of lists."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import Node, QueueEntry


class YesNoFilter(admin.SimpleListFilter):
    """Rows that fulfil `condition`, or that do not."""

    condition: Any

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The choices."""
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows chosen."""
        if self.value() == "yes":
            return queryset.filter(self.condition)
        return queryset.exclude(self.condition) if self.value() == "no" else queryset


class InUseFilter(YesNoFilter):
    """Dropped or not."""

    title = _("in use")
    parameter_name = "in_use"
    condition = Q(dropped=None)


class OnlineFilter(YesNoFilter):
    """Connected to a server or not."""

    title = _("online")
    parameter_name = "online"
    condition = Q(server__isnull=False)


class WaitingFilter(YesNoFilter):
    """Whether something waits: one step into the index for each node, however much it is."""

    title = _("messages waiting")
    parameter_name = "waits"
    condition = Exists(QueueEntry.objects.filter(node=OuterRef("pk")))


class UserOnlineFilter(YesNoFilter):
    """Whether one of a user's nodes is connected."""

    title = _("online")
    parameter_name = "online"
    condition = Exists(Node.objects.filter(user=OuterRef("pk"), dropped=None, server__isnull=False))


class UserWithAccountFilter(YesNoFilter):
    """Whether a user is a member of the website."""

    title = _("member of the website")
    parameter_name = "member"
    condition = Q(account__isnull=False)
