"""The page that asks for confirmation before an action that cannot be undone, like Django's page for deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

SHOWN = 100


def list_url(page: admin.ModelAdmin) -> str:
    """Return the URL of a page's changelist."""
    opts = page.opts
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist", current_app=page.admin_site.name)


def ask(
    page: admin.ModelAdmin,
    request: HttpRequest,
    chosen: QuerySet[Any],
    describe: Callable[[Any], str],
    *,
    action: str,
    question: str,
    button: str,
) -> TemplateResponse | None:
    """Return the page that asks about the chosen rows, or None if the request confirms the action."""
    if request.POST.get("confirmed"):
        return None
    opts = page.opts
    rows = list(chosen[: SHOWN + 1])
    context = {
        **page.admin_site.each_context(request),
        "title": button,
        "question": question,
        "opts": opts,
        "rows": [describe(row) for row in rows[:SHOWN]],
        "more": len(rows) > SHOWN,
        "action": action,
        "button": button,
        "list_url": list_url(page),
        "selected": [str(row.pk) for row in rows],
        "select_across": request.POST.get("select_across", "0"),
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
        "query": request.GET.urlencode(),
        "media": page.media,
    }
    return TemplateResponse(request, "admin/tmtp/confirm.html", context)
