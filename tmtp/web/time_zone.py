"""Show times in the reader's own time zone, which pages.js keeps in a cookie. Without it they are in the site's."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest
from django.utils import timezone

COOKIE = "tmtp_time_zone"
_names = cache(available_timezones)


def readers_zone(request: HttpRequest) -> AbstractContextManager[Any]:
    """Return a context in which times are in the reader's zone, or unchanged if the cookie names no zone."""
    name = unquote(request.COOKIES.get(COOKIE, ""))
    return timezone.override(ZoneInfo(name)) if name in _names() else nullcontext()
