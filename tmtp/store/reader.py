"""A thread that reads what other processes have committed, beside the store's thread.

Such a query need not wait for the batch that runs, nor for the one after. So it may not see what was submitted to the
store before it (`engine.recent_acks`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from django.db import Error, connection

from ..conf import conf
from .transactions import Unavailable
from .waiting import Cutter

log = logging.getLogger("tmtp")
T = TypeVar("T")
Tell = Callable[..., None]


class Reader:
    """The thread and its connection. It is started by the first query. `tell` calls a function in the event loop."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._queries: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._cutter = Cutter()
        self._is_failing = False

    def read(self, function: Callable[[], T], done: Callable[[T | Unavailable], None]) -> None:
        """Run a query. `done` is called with its result, or with Unavailable."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tmtp-reader", daemon=True)
            self._thread.start()
        self._queries.put((function, done))

    def stop(self) -> None:
        """End the thread, after the query that runs."""
        self._queries.put(None)

    def _work(self) -> None:
        self._cutter.start()
        while query := self._queries.get():
            function, done = query
            self._tell(done, self._result(function))
        self._cutter.stop()
        connection.close()

    def _result(self, function: Callable[[], Any]) -> Any:
        try:
            with self._cutter.until(time.monotonic() + float(conf.STORE_PATIENCE)):
                result = function()
        except Error as error:
            if not self._is_failing:
                log.warning("messages of other processes could not be read: %s", error)
            self._is_failing = True
            connection.close()
            return Unavailable("store_unavailable")
        except Exception as error:
            log.exception("a read failed")
            return Unavailable("database_error", reason=str(error))
        self._is_failing = False
        return result
