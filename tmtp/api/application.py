"""The API as a whole: its operations, and one shape for all errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.urls import URLPattern
from django.utils.cache import add_never_cache_headers
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from tmtp.services.storage.object_storage import StorageUnavailable

from .conf import conf
from .errors import Refused, status_of
from .routes import groups, messages, users

log = logging.getLogger("tmtp.api")
DESCRIPTION = """\
Send messages to the members of this site, follow and recall them, and manage groups and users.

Each request needs a token with the scope that is named as `x-scope`. Errors have one shape, `Error`.
"""
RETRY_AFTER = 10  # seconds; a token gets a sixth of its requests per minute back by then

api = NinjaAPI(
    title="HTTP API",
    version="1",
    description=DESCRIPTION,
    openapi_url=None,  # `views` has the document, and a page of our own: those of ninja have inline styles
    docs_url=None,
    urls_namespace="tmtp_api_v1",
)
api.add_router("/messages", messages.router)
api.add_router("/groups", groups.router)
api.add_router("/users", users.router)


def error(refused: Refused, details: Sequence[dict[str, str]] = ()) -> HttpResponse:
    """Return the answer to a request that is not carried out."""
    status = status_of(refused)
    answer = JsonResponse({"code": refused.code, "text": str(refused), "details": list(details)}, status=status)
    if status == 401:
        answer["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        answer["Retry-After"] = str(RETRY_AFTER)
    return answer


@api.exception_handler(Refused)
def _refused(request: HttpRequest, refused: Refused) -> HttpResponse:
    return error(refused)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, invalid: ValidationError) -> HttpResponse:
    details = [{"where": _place(one["loc"]), "text": str(one["msg"])} for one in invalid.errors]
    return error(Refused("request_invalid", count=len(details)), details)


def _place(where: Sequence[str | int]) -> str:
    """Return the place of an error, such as `to.names.0`. A body has the name of a parameter of ours in between."""
    source, *path = where
    return ".".join(map(str, path[1:] if source == "body" else path)) or str(source)


@api.exception_handler(Http404)
def _missing(request: HttpRequest, problem: Http404) -> HttpResponse:
    return error(Refused("not_found"))


@api.exception_handler(HttpError)
@api.exception_handler(SuspiciousOperation)
@api.exception_handler(MultiPartParserError)
def _malformed(request: HttpRequest, problem: Exception) -> HttpResponse:
    return error(Refused("request_malformed", reason=str(problem)))


@api.exception_handler(RequestDataTooBig)
@api.exception_handler(TooManyFilesSent)
def _too_large(request: HttpRequest, problem: Exception) -> HttpResponse:
    return error(_too_much())


@api.exception_handler(StorageUnavailable)
@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
def _unavailable(request: HttpRequest, problem: Exception) -> HttpResponse:
    log.warning("a request failed: %s", type(problem).__name__)
    return error(Refused("store_unavailable"))


@api.exception_handler(Exception)
def _failed(request: HttpRequest, problem: Exception) -> HttpResponse:
    log.exception("a request failed", exc_info=problem)
    return error(Refused("server_failed"))


def guarded(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Refuse requests that are too large before they are read, and other methods in the shape of errors."""

    @wraps(view)
    def guard(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.COOKIES = {}  # nobody is signed in here, whatever the site's middleware makes of a browser's cookies
        refused = _refusal(request)
        answer = error(refused) if refused else view(request, *args, **kwargs)
        if answer.status_code == 405:
            allowed = answer.get("Allow", "")
            answer = error(Refused("method_not_allowed", method=str(request.method)))
            answer["Allow"] = allowed
        add_never_cache_headers(answer)
        return answer

    guard.csrf_exempt = True  # type: ignore[attr-defined]  # tokens are in a header
    return guard


def _refusal(request: HttpRequest) -> Refused | None:
    """Return why a body is not read. One that comes in chunks does not say its size."""
    if "HTTP_TRANSFER_ENCODING" in request.META:
        return Refused("request_malformed", reason="send it with Content-Length, and not in chunks")
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    too_large = not length.isdecimal() or int(length) > conf.MAX_REQUEST
    return _too_much() if too_large else None


def _too_much() -> Refused:
    return Refused("request_too_large", most=conf.MAX_REQUEST)


def not_found(request: HttpRequest, **_: Any) -> HttpResponse:
    """Answer a request to an address that is not there."""
    return error(Refused("not_found"))


def operations() -> list[URLPattern]:
    """Return the URL patterns of all operations."""
    patterns = [pattern for pattern in api.urls[0] if isinstance(pattern, URLPattern) and pattern.name != "api-root"]
    for pattern in patterns:
        pattern.callback = guarded(pattern.callback)
    return patterns
