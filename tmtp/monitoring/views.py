"""Probes and metrics of the website's own process, for a site that includes `tmtp.monitoring.urls`."""

from __future__ import annotations

import ipaddress

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ..conf import conf
from . import status
from .answers import NEEDS_TOKEN, PLAIN, readiness, shows_token
from .health import check_database_and_disk

FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process lives."""
    return HttpResponse("ok\n", content_type=PLAIN)


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the website can do its work: status 200 or 503."""
    code, text = readiness(check_database_and_disk())
    return HttpResponse(text, content_type=PLAIN, status=code)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics of all servers, to this machine or to whoever shows the token."""
    if not may_read(request):
        return HttpResponseForbidden(NEEDS_TOKEN, content_type=PLAIN)
    try:
        from . import prometheus  # optional
    except ImportError:
        return HttpResponse('pip install "mnm-django[metrics]"\n', content_type=PLAIN, status=501)
    return HttpResponse(prometheus.metrics(status.read()), content_type=prometheus.CONTENT_TYPE_LATEST)


def may_read(request: HttpRequest) -> bool:
    """Return whether a request shows the token or, if there is none, comes from this machine and through no proxy."""
    if conf.METRICS_TOKEN:
        return shows_token(request.headers.get("Authorization", ""))
    if any(header in request.META for header in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
