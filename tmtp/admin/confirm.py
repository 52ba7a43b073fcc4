"""The page that asks before something is done that cannot be undone, in the manner of Django's own for deleting."""

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
    """The address of a page's list."""
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
    """The question about the chosen rows; None when the answer, yes, has come with the request."""
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
