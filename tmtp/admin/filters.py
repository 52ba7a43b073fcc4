"""Filters of the changelists."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import Node, QueueEntry


class YesNoFilter(admin.SimpleListFilter):
    """Filter rows by whether they satisfy `condition`, a Q or an Exists."""

    condition: Any

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(self.condition)
        return queryset.exclude(self.condition) if self.value() == "no" else queryset


class InUseFilter(YesNoFilter):
    title = _("in use")
    parameter_name = "in_use"
    condition = Q(dropped=None)


class OnlineFilter(YesNoFilter):
    title = _("online")
    parameter_name = "online"
    condition = Q(server__isnull=False)


class WaitingFilter(YesNoFilter):
    """Return whether messages wait: one look-up in an index per node, however many there are."""

    title = _("messages waiting")
    parameter_name = "waits"
    condition = Exists(QueueEntry.objects.filter(node=OuterRef("pk")))


class UserOnlineFilter(YesNoFilter):
    """Return whether any of a user's nodes is connected."""

    title = _("online")
    parameter_name = "online"
    condition = Exists(Node.objects.filter(user=OuterRef("pk"), dropped=None, server__isnull=False))


class UserWithAccountFilter(YesNoFilter):
    """Return whether a user is linked to an account."""

    title = _("member of the website")
    parameter_name = "member"
    condition = Q(account__isnull=False)
