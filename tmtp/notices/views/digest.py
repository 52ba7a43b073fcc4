"""The page that a link in a digest leads to."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from tmtp.web.rendering import render_page

from .. import digests


@csrf_exempt  # the link itself is the proof; mail programs send this without any cookie (RFC 8058)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def no_digest(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for confirmation, since programs follow links too; end the digest on POST."""
    try:
        account = get_user_model()._meta.pk.to_python(signing.loads(token, salt=digests.SALT))
    except (signing.BadSignature, ValidationError):  # the latter: the accounts have had other keys since
        return _page(request, "bad", 404)
    if request.method != "POST":
        return _page(request, "ask")
    digests.end(account)
    return _page(request, "done")


def _page(request: HttpRequest, state: str, status: int = 200) -> HttpResponse:
    answer = render_page(request, "tmtp_notices/no_digest.html", {"state": state})
    answer.status_code = status
    return answer
