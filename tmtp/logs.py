"""What goes into the log: no secret, no body and no address of a member; and as JSON for a site that wants it.

An error may quote what somebody wrote: a database names the values of a row, a mail server the address it refuses. So
`Private` keeps only the texts of errors that quote nothing, also in tracebacks. It is a filter of the app's loggers,
and works whatever handlers and formatters a site has.
"""

from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest

from .services.errors import CodedError

LOGGERS = (
    "tmtp",
    "tmtp.abuse",
    "tmtp.api",
    "tmtp.client",
    "tmtp.delivery",
    "tmtp.notices",
    "tmtp.openid.tokens",
    "tmtp.server",
)

# Errors whose texts name types, files and hosts only. The first line of the database's has no values of rows.
QUOTE_NOTHING = (
    AttributeError,
    ImportError,
    ImproperlyConfigured,
    IntegrityError,
    InterfaceError,
    NameError,
    OSError,
    OperationalError,
    RuntimeError,
    TypeError,
)
LACKS = {"42P01", "42703", "42501", "3F000"}  # PostgreSQL: no such table, column, right, schema
LACKS_ON_SQLITE = ("no such table", "no such column")
MINUTE = 60.0
RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def protect(*names: str) -> None:
    """Add the filters to these loggers. A filter of a logger does not work for those below it."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Private) for one in logger.filters):
            logger.addFilter(WhileTheDatabaseLacks())
            logger.addFilter(Private())


def shorten_outages(name: str = "channels_redis.pubsub") -> None:
    """Let a logger of channels-redis repeat itself only once a minute."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, WhileRedisIsAway) for one in logger.filters):
        logger.addFilter(WhileRedisIsAway())


def public_text(error: BaseException) -> str:
    """Return what may be said of an error: its text if that quotes nothing, otherwise its class or code only."""
    if isinstance(error, CodedError):  # parameters may come from strangers
        return error.code if error.parameters else str(error)
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    if isinstance(error, QUOTE_NOTHING) and not isinstance(error, smtplib.SMTPException):
        return str(error).strip().partition("\n")[0]
    cause = error.__cause__ if isinstance(error, DatabaseError) else None
    state = getattr(cause, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


def public_traceback(error: BaseException) -> str:
    """Return the traceback of an error and its causes, with public texts."""
    return "".join(_chain(error, set())).rstrip("\n")


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _chain(before, seen)
        yield "\nwhich led to:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    name, text = type(error).__name__, public_text(error)
    yield f"{name}\n" if text == name else f"{name}: {text}\n"
    for inner in getattr(error, "exceptions", ()):
        if id(inner) not in seen:
            yield from _chain(inner, seen)


class _Public:
    """Stands for an error among the arguments of a record."""

    def __init__(self, error: BaseException) -> None:
        self._text = public_text(error)
        self._name = type(error).__name__

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text if self._text.startswith(self._name) else f"{self._name}: {self._text}"


class Private(logging.Filter):
    """Replaces errors in a record by what may be said of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(_Public(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            record.exc_text = public_traceback(record.exc_info[1])  # formatters take this instead of making their own
            record.exc_info = None
        return True


class PrivateRequests(logging.Filter):
    """Replaces the address of a request by its pattern, such as `/account/confirm/<token>/`, in Django's own records.

    An address may hold a secret, a member's e-mail address or uid, or the words of a search. An address of no page
    stays, without its query.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            match = request.resolver_match
            pattern = f"/{match.route}" if match else request.path
            own = {request.path, request.path.encode("unicode_escape").decode("ascii")}  # Django escapes arguments
            if isinstance(record.args, tuple):
                record.args = tuple(pattern if isinstance(arg, str) and arg in own else arg for arg in record.args)
            record.request = f"{request.method} {pattern}"
        return True


class _OnceAMinute(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + MINUTE
        return True


class WhileRedisIsAway(_OnceAMinute):
    """Lets a line a minute through of what channels-redis repeats each second, with a traceback, in each process."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record of a lost connection, and let it pass if it is time."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(error, OSError) and not type(error).__module__.startswith("redis."):
            return True
        if not self._is_due():
            return False
        record.msg, record.args = "Redis cannot be used, trying again each second: %s", (str(error),)
        record.exc_info = record.exc_text = None
        return True


class WhileTheDatabaseLacks(_OnceAMinute):
    """Lets a line a minute through, which says what to do, while tables or rights are missing: each batch fails."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record of such an error, and let it pass if it is time."""
        raised = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        errors = [raised, *record.args] if isinstance(record.args, tuple) else [raised]
        error = next((one for one in errors if shows_what_is_missing(one)), None)
        if error is None:
            return True
        if not self._is_due():
            return False
        record.msg = (
            "the database lacks what the service needs (%s): run `manage.py migrate` with the service's settings,"
            " and let its user read and write all tables"
        )
        record.args = (str(error).strip().partition("\n")[0],)
        record.exc_info = record.exc_text = None
        return True


def shows_what_is_missing(error: object) -> bool:
    """Return whether this is the error of a database that lacks tables, columns or rights."""
    if not isinstance(error, DatabaseError):
        return False
    return getattr(error.__cause__, "sqlstate", None) in LACKS or str(error).startswith(LACKS_ON_SQLITE)


def log_error_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nobody has handled, without the arguments of the function that raised it."""
    what = str(context.get("message", "")).partition("(")[0]
    logging.getLogger("tmtp").error("an error in the event loop: %s", what, exc_info=context.get("exception"))


class JsonFormatter(logging.Formatter):
    """A line of JSON for each record: time, level, logger, event, message, process, traceback, and what is `extra`.

    `event` is the message before its arguments are filled in, so that events of a kind can be counted.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": str(record.msg),
            "message": record.getMessage(),
            "process": record.process,
        }
        text = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if text:
            line["traceback"] = text
        line.update({name: value for name, value in vars(record).items() if name not in RECORD})
        return json.dumps(line, ensure_ascii=False, default=str)
