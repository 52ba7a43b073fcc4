"""Bodies that cannot be read: the error, and what the log says of each body once, however often it is tried."""

from __future__ import annotations

import errno
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("tmtp")
REPORTED_MAX = 10_000  # bodies; the oldest ones are forgotten
_reported: dict[str, None] = {}


class Unreadable(OSError):
    """A body is there, and cannot be read. It may work later."""


def report(name: str, problem: object) -> None:
    """Log that a body cannot be read, unless the log has it already."""
    if name in _reported:
        return
    if len(_reported) >= REPORTED_MAX:
        _reported.pop(next(iter(_reported)), None)
    _reported[name] = None
    log.error("the body %s cannot be read: %s", name, problem)


def report_recovery(name: str) -> None:
    """Log that a body can be read again, if the log says that it cannot."""
    if name in _reported:
        _reported.pop(name, None)
        log.warning("the body %s can be read again", name)


@contextmanager
def guarding(name: str) -> Iterator[None]:
    """Turn what the system says while a body is opened or read into Unreadable. Let FileNotFoundError pass."""
    try:
        yield
    except (FileNotFoundError, Unreadable):
        raise
    except OSError as error:
        report(name, error)
        raise Unreadable(error.errno or errno.EIO, error.strerror or str(error), name) from error


class BodyFile(io.FileIO):
    """The file of a body. Reading raises Unreadable."""

    def __init__(self, file: Any, body: str) -> None:
        self._body = body
        super().__init__(file, "rb")

    def readinto(self, buffer: Any, /) -> Any:
        """Read as `io.FileIO` does. `read` of a buffered file calls this."""
        with guarding(self._body):
            return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> Any:
        """Read as `io.FileIO` does."""
        with guarding(self._body):
            return super().read(-1 if size is None else size)
