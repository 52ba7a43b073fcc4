"""The page that a link in a notice leads to."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core import signing
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from .notices import end_notices, member_of


@csrf_exempt  # the link itself is the proof; mail programs send this without any cookie (RFC 8058)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def no_notices(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for confirmation, since programs follow links too; unsubscribe on POST."""
    try:
        account = member_of(token)
    except signing.BadSignature:
        return render(request, "tmtp_delivery/no_notices.html", {"state": "bad"}, status=404)
    if request.method != "POST":
        return render(request, "tmtp_delivery/no_notices.html", {"state": "ask"})
    if get_user_model()._default_manager.using(DEFAULT_DB_ALIAS).filter(pk=account).exists():
        end_notices(account)
    return render(request, "tmtp_delivery/no_notices.html", {"state": "done"})
