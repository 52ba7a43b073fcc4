"""The query of a request."""

from __future__ import annotations

from django.http import HttpRequest, QueryDict


def drop_nul(request: HttpRequest) -> None:
    """Remove NUL characters from the query: PostgreSQL has none in texts. Django's form fields refuse them already."""
    if "%00" in request.META.get("QUERY_STRING", ""):
        query = QueryDict(mutable=True, encoding=request.encoding)
        for name, values in request.GET.lists():
            query.setlist(name.replace("\0", ""), [value.replace("\0", "") for value in values])
        request.GET = query  # type: ignore[assignment]
