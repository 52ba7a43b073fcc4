"""Template tags of notices."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import get_script_prefix
from django.utils.crypto import salted_hmac
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tmtp.mailbox import NEWS
from tmtp.times import local_time, time_of

from ..conf import conf
from ..subscriptions import of_session
from ..vapid import public_key

register = template.Library()


@register.filter
def posted(number: int) -> str:
    """Return the time of a message in the current zone."""
    return date_format(local_time(time_of(number)), "SHORT_DATETIME_FORMAT")


@register.simple_tag
def theme_color() -> str:
    """Return the colour of the browser's own parts around the page."""
    return str(conf.THEME_COLOR)


@register.simple_tag
def scope() -> str:
    """Return the path below which the service worker acts: that of the site."""
    return get_script_prefix()


@register.simple_tag(takes_context=True)
def notice_data(context: dict[str, Any]) -> SafeString:
    """Return what notices.js needs to know besides addresses, as attributes of its <script>; nothing for visitors."""
    request = context.get("request")
    if request is None or not getattr(request, "user", None) or not request.user.is_authenticated:
        return SafeString()
    subscription = of_session(request)
    return format_html(
        ' data-news="{}" data-member="{}" data-key="{}" data-subscribed="{}" data-csrf="{}"',
        get_script_prefix() + NEWS,
        salted_hmac("tmtp.notices.member", str(request.user.pk)).hexdigest()[:16],
        public_key(),
        subscription.endpoint_hash if subscription else "",
        context.get("csrf_token", ""),
    )
