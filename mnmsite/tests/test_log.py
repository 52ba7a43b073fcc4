"""The site's own log, with the records of Django in it, has no secret and no address of a member."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.db import DataError
from django.test import Client
from django.urls import reverse

from tmtp.logs import JsonFormatter

pytestmark = [pytest.mark.once, pytest.mark.django_db]


@pytest.fixture(params=["line", "json"])
def written(request: Any) -> Iterator[io.StringIO]:
    """What the site writes on stderr."""
    handler: Any = logging.getHandlerByName("stderr") if hasattr(logging, "getHandlerByName") else None
    handler = handler or next(one for one in logging.getLogger().handlers if one.filters)
    before, formatter, stream = handler.stream, handler.formatter, io.StringIO()
    handler.setStream(stream)
    line = logging.Formatter(settings.LOGGING["formatters"]["line"]["format"], style="{")
    handler.setFormatter(JsonFormatter() if request.param == "json" else line)
    yield stream
    handler.setStream(before)
    handler.setFormatter(formatter)


def test_no_record_quotes_an_address_or_an_error(written: io.StringIO, admin_client: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    admin_client.raise_request_exception = False
    for name, args in (
        ("accounts:confirm", ["tellnobody"]),
        ("tmtp_notices:no_digest", ["tellnobody"]),
        ("tmtp_pages:block", ["tellnobody"]),
    ):
        assert admin_client.get(reverse(name, args=args), {"q": "tellnobody"}).status_code in (400, 404)
    link = reverse("accounts:password_reset_confirm", args=["MQ", "abc-tellnobody"])
    assert strict.post(link).status_code == 403
    error = DataError("invalid input: tellnobody")
    with mock.patch("tmtp.mailbox.views.reading.index.catch_up", side_effect=error):
        assert admin_client.get(reverse("tmtp_mailbox:search"), {"q": "tellnobody"}).status_code == 500
    said = written.getvalue()
    assert "Bad Request: /account/confirm/<token>/" in said and "DataError" in said and "CSRF" in said
    assert "tellnobody" not in said
