"""What the admin shows about workers and broadcasts."""

from __future__ import annotations

from typing import Any

from django import template
from django.db import Error
from django.utils.formats import number_format

from tmtp.delivery import workers

register = template.Library()


@register.inclusion_tag("tmtp_delivery/_worker_notice.html", takes_context=True)
def worker_notice(context: dict[str, Any]) -> dict[str, Any]:
    """Tell staff when no worker runs. Once on a page; costs one query.

    The pages of this app contain it, and a site's `admin/base_site.html` may.
    """
    user, request = context.get("user"), context.get("request")
    if not getattr(user, "is_staff", False) or getattr(request, "worker_notice_given", False):
        return {"late": False}
    if request is not None:
        request.worker_notice_given = True
    try:
        return {"late": workers.are_missing(), "seen": workers.last_heartbeat()}
    except Error:  # not migrated yet, which Django reports itself
        return {"late": False}


@register.filter
def figure(number: int) -> str:
    """Format a number with separators between thousands."""
    return number_format(number, use_l10n=True, force_grouping=True)
