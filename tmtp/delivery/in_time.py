"""Calls over the network that end in time, whatever the other side does.

The time limits of sockets are for each octet: an answer that comes one octet at a time has no end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def in_time(call: Callable[[], T], seconds: float) -> T:
    """Return what `call` returns, or raise what it raises. Raise TimeoutError if it has not ended after `seconds`.

    It runs in a thread of its own, which is then left alone: it must not use the database.
    """
    done: SimpleQueue[tuple[T] | Exception] = SimpleQueue()

    def run() -> None:
        try:
            done.put((call(),))
        except Exception as error:
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no whole answer after {seconds} seconds") from None
    if isinstance(found, Exception):
        raise found
    return found[0]
