"""The log names nobody, and each record is a line of JSON."""

import asyncio
import io
import json
import logging
import re
import smtplib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest import mock
from unittest.mock import AsyncMock, Mock

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, ProgrammingError
from django.http import HttpRequest

from tmtp import logs
from tmtp.services.errors import Refused
from tmtp.services.storage import handover
from tmtp.store.store import log_failure
from tmtp.store.transactions import Unavailable
from tmtp.tests.test_imports import ROOT, sources

pytestmark = pytest.mark.once

SECRET = "ann@example.org"
log = logging.getLogger("tmtp")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the log says, as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


ERRORS = [
    (IntegrityError(f"duplicate key\nDETAIL:  Key (name)=({SECRET}) already exists."), "duplicate key"),
    (OperationalError(f"connection refused\n{SECRET}"), "connection refused"),
    (DataError(f'invalid input syntax: "{SECRET}"'), "DataError"),
    (smtplib.SMTPRecipientsRefused({SECRET: (550, b"unknown")}), "SMTPRecipientsRefused"),
    (smtplib.SMTPSenderRefused(550, b"no", SECRET), "SMTPSenderRefused 550"),
    (smtplib.SMTPDataError(554, SECRET), "SMTPDataError 554"),
    (ValueError(SECRET), "ValueError"),
    (KeyError(SECRET), "KeyError"),
    (ValidationError(SECRET, code="invalid"), "ValidationError"),
    (Refused("alias_not_found", name=SECRET), "alias_not_found"),
    (Unavailable("store_unavailable"), "the server cannot store messages now, try again later"),
    (FileNotFoundError(2, "No such file or directory", "/spool/1"), "[Errno 2] No such file or directory: '/spool/1'"),
]


@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_an_error_in_a_record_quotes_nobody(written: io.StringIO, error: Exception, text: str) -> None:
    log.warning("it failed: %s", error)
    log_failure(error)
    try:
        try:
            raise error
        except Exception as first:
            raise RuntimeError("in between") from first
    except RuntimeError:
        log.exception("it failed")
    said = written.getvalue()
    assert SECRET not in said
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines[0]["message"] == f"it failed: {text}"
    assert lines[0]["event"] == "it failed: %s"
    assert {"time", "level", "logger", "process"} < lines[0].keys()
    assert type(error).__name__ in lines[2]["traceback"]
    assert lines[2]["traceback"].endswith("RuntimeError: in between")
    assert "test_logs.py" in lines[2]["traceback"]


async def test_an_error_in_the_event_loop_quotes_nobody(written: io.StringIO) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.log_error_of_loop)
    loop.call_soon(fail, SECRET)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (line,) = [json.loads(line) for line in written.getvalue().splitlines()]
    assert line["message"].startswith("an error in the event loop: Exception in callback")
    assert line["traceback"].endswith("ValueError")
    assert SECRET not in json.dumps(line)


def test_tracebacks_of_groups_and_circles(written: io.StringIO) -> None:
    first, second = ValueError(SECRET), KeyError(SECRET)
    first.__cause__, second.__cause__ = second, first
    log.error("it failed", exc_info=ExceptionGroup("several", [first, TypeError("a type")]))
    said = written.getvalue()
    assert SECRET not in said
    assert "TypeError: a type" in said


def test_records_of_any_kind_are_one_line(written: io.StringIO) -> None:
    log.warning("with a\nline break, and %s", "more", extra={"address": "192.0.2.1", "thing": Path("/x")})
    log.warning({"no": "text"})
    log.error("no exception", exc_info=True)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (lines[0]["address"], lines[0]["thing"]) == ("192.0.2.1", "/x")
    assert len(lines) == 3


def test_while_redis_is_away_a_line_a_minute_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    now = [1000.0]
    monkeypatch.setattr("tmtp.logs.time.monotonic", lambda: now[0])
    keep = logs.WhileRedisIsAway()
    said = []
    for error in (redis.ConnectionError("refused"), redis.TimeoutError("late"), OSError("gone"), ValueError("a bug")):
        record = logging.LogRecord("x", logging.ERROR, "", 0, "Unexpected exception", (), (type(error), error, None))
        if keep.filter(record):
            said.append((record.getMessage(), bool(record.exc_info)))
    assert said == [
        ("Redis cannot be used, trying again each second: refused", False),
        ("Unexpected exception", True),
    ]
    now[0] += 61
    record = logging.LogRecord("x", logging.ERROR, "", 0, "again", (), (OSError, OSError("gone"), None))
    assert keep.filter(record)
    name = "channels_redis.pubsub"
    assert any(isinstance(one, logs.WhileRedisIsAway) for one in logging.getLogger(name).filters)


def test_every_logger_is_protected() -> None:
    """A logger that nobody protects would write whatever an error quotes."""
    for room in ("tmtp", "accounts", "mnmsite"):
        for path in sources(room):
            for name in re.findall(r"getLogger\(([^)]*)\)", path.read_text()):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                if name == "name" or (room == "accounts" and not _is_installed("accounts")):
                    continue
                logger = logging.getLogger(module if name == "__name__" else name.strip('"'))
                assert any(isinstance(one, logs.Private) for one in logger.filters), path


def _is_installed(app: str) -> bool:
    apps = import_module("django.apps").apps
    return bool(apps.is_installed(app))


def test_a_database_that_lacks_tables_is_a_line_a_minute(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ProgrammingError(f'relation "tmtp_node" does not exist\nLINE 1: {SECRET}')
    missing.__cause__ = cause = Exception()
    cause.sqlstate = "42P01"  # type: ignore[attr-defined]
    monkeypatch.setattr(logs.time, "monotonic", lambda: 1e9)
    for error in (missing, OperationalError("no such table: tmtp_node")):
        try:
            raise error
        except DatabaseError:
            log.exception("a batch failed")
        log_failure(error)
    (line,) = map(json.loads, written.getvalue().splitlines())
    assert 'relation "tmtp_node" does not exist' in line["message"] and "manage.py migrate" in line["message"]
    assert "traceback" not in line and SECRET not in str(line)
    monkeypatch.setattr(logs.time, "monotonic", lambda: 1e9 + logs.MINUTE)
    log_failure(missing)
    assert len(written.getvalue().splitlines()) == 2


@pytest.mark.parametrize("route", ["account/confirm/<token>/", None])
def test_the_address_of_a_request_is_its_pattern(written: io.StringIO, route: str | None) -> None:
    request = HttpRequest()
    request.method, request.path = "GET", "/account/confirm/sécret/"
    request.META["QUERY_STRING"] = "q=what+I+look+for"
    request.resolver_match = route and mock.Mock(route=route)  # type: ignore[assignment]
    keep = logs.PrivateRequests()
    log.addFilter(keep)
    try:
        escaped = request.path.encode("unicode_escape").decode()
        log.warning("%s: %s", "Bad Request", escaped, extra={"request": request, "status_code": 400})
    finally:
        log.removeFilter(keep)
    line = json.loads(written.getvalue())
    assert line["request"] == (f"GET /{route}" if route else f"GET {request.path}")
    assert ("cret" in line["message"]) == (route is None)
    assert "look" not in written.getvalue()


async def test_a_channel_layer_that_takes_nothing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy server hands over many times a second."""
    layer = Mock(group_send=AsyncMock(side_effect=ConnectionError("a wrong password")))
    monkeypatch.setattr(handover, "shared_layer", lambda: layer)
    sender = handover.Sender()
    for _ in range(3):
        await sender.send([(1, "a notice")])
    assert caplog.text.count("did not take") == 1
    layer.group_send.side_effect = None
    await sender.send([(1, "a notice")])
    layer.group_send.side_effect = ConnectionError("again")
    await sender.send([(1, "a notice")])
    assert caplog.text.count("did not take") == 2
