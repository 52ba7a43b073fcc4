"""The page with live figures of all servers, and plots of the last hour and day."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import ServerLease
from ..monitoring.health import Level, level_of, problems
from ..monitoring.series import DAY, HOUR, plots
from ..monitoring.status import Server, Status, age_of, read
from ..monitoring.svg import draw
from ..monitoring.words import duration, grouped, mean_of, tenths

REFUSALS_SHOWN = 8
ERRORS_SHOWN = 5
CLASSES = {Level.WARNING: "warning", Level.CRITICAL: "error"}
KINDS = {
    "device": gettext_lazy("devices"),
    "mailbox": gettext_lazy("mailboxes"),
    "holding": gettext_lazy("users without a device"),
}


def urls(page: admin.ModelAdmin) -> list[URLPattern]:
    """Return the URLs of the page and of the part that is refreshed."""

    def view(template: str) -> Any:
        def show(request: HttpRequest) -> HttpResponse:
            if not page.has_view_permission(request):
                raise PermissionDenied
            return TemplateResponse(request, f"admin/tmtp/serverlease/{template}.html", _context(page, request))

        return page.admin_site.admin_view(show)

    return [
        path("figures/", view("figures"), name="tmtp_serverlease_figures"),
        path("figures/part/", view("_figures"), name="tmtp_serverlease_figures_part"),
    ]


def _context(page: admin.ModelAdmin, request: HttpRequest) -> dict[str, Any]:
    status = read()
    found = problems(status)
    workers = status.whole.get("workers")
    return {
        **page.admin_site.each_context(request),
        "opts": ServerLease._meta,
        "title": _("Figures"),
        "part_url": reverse("admin:tmtp_serverlease_figures_part", current_app=page.admin_site.name),
        "problems": [(CLASSES[problem.level], problem.text) for problem in found],
        "well": level_of(found) == Level.OK,
        "servers": [_row(server) for server in status.servers],
        "queues": _queues(status),
        "whole": status.whole,
        "workers": workers and {**workers, "lag": duration(workers["lag"]), "waiting": grouped(workers["waiting"])},
        "refusals": _refusals(status),
        "errors": _errors(status),
        "plots": _plots(status),
    }


def _row(server: Server) -> dict[str, Any]:
    """Return a server for the table. Its cells are in the order of the columns."""
    values = server.values
    if not values:
        return {"server": server, "cells": []}
    counts = [grouped(values[name]) for name in ("links", "nodes", "posts", "deliveries")]
    commit, late = 1000 * mean_of(values["commit_seconds"]), 1000 * mean_of(values["loop_late_seconds"])
    ago = _("%(seconds).0f s ago") % {"seconds": values["since_commit"] + server.age}
    batch = tenths(mean_of(values["batch_jobs"]))
    return {
        "server": server,
        "cells": [*counts, f"{tenths(commit)} ms", ago, batch, f"{tenths(late)} ms", filesizeformat(values["memory"])],
    }


def _queues(status: Status) -> list[dict[str, Any]]:
    return [
        {
            "kind": KINDS.get(kind, kind),
            "waiting": grouped(queue["waiting"]),
            "oldest": duration(age_of(queue["oldest"])) if queue["waiting"] else "",
        }
        for kind, queue in status.whole.get("queues", {}).items()
    ]


def _refusals(status: Status) -> list[tuple[str, str]]:
    """Return the most frequent reasons for refusals, of all servers since they started."""
    total: dict[str, int] = {}
    for server in status.servers:
        for reason, count in server.values.get("refusals", {}).items():
            total[reason] = total.get(reason, 0) + count
    most = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:REFUSALS_SHOWN]
    return [(reason, grouped(count)) for reason, count in most]


def _errors(status: Status) -> list[dict[str, str]]:
    errors = [error for server in status.servers for error in server.values.get("last_errors", [])]
    return sorted(errors, key=lambda error: error["at"])[-ERRORS_SHOWN:]


def _plots(status: Status) -> list[dict[str, Any]]:
    if status.error:
        return []
    return [
        {"title": hour.title, "unit": hour.unit, "hour": draw(hour, _("last hour")), "day": draw(day, _("last day"))}
        for hour, day in zip(plots(HOUR), plots(DAY), strict=True)
    ]
