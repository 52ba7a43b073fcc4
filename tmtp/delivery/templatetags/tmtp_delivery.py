"""What the admin shows about workers."""

from typing import Any

from django import template
from django.db import Error

from tmtp.delivery import marks

register = template.Library()


@register.inclusion_tag("tmtp_delivery/_worker_notice.html", takes_context=True)
def worker_notice(context: dict[str, Any]) -> dict[str, Any]:
    """A line that no worker is there, for who is signed in to the admin; nothing while one is. Costs one query.

    Once on a page: this app's own pages have it, and a site's `admin/base_site.html` may.
    """
    user, request = context.get("user"), context.get("request")
    if not getattr(user, "is_staff", False) or getattr(request, "worker_notice_given", False):
        return {"late": False}
    if request is not None:
        request.worker_notice_given = True
    try:
        return {"late": marks.worker_is_late(), "seen": marks.worker_seen()}
    except Error:  # not migrated yet: that is said elsewhere
        return {"late": False}
