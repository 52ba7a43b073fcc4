"""What the admin shows about workers and broadcasts."""

from __future__ import annotations

from typing import Any

from django import template
from django.db import Error

from tmtp.delivery import workers
from tmtp.monitoring.words import grouped

register = template.Library()
register.filter("figure", grouped)


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
        seen = workers.last_heartbeat()
        return {"late": workers.is_late(seen), "seen": seen}
    except Error:  # not migrated yet, which Django reports itself
        return {"late": False}
