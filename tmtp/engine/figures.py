"""All figures of one server, as a dict for JSON. Everything that shows figures reads them from such dicts."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from ..store.interface import AnyStore
from .counters import Counters
from .dispatcher import Dispatcher
from .links import Links

PAGE_SIZE = resource.getpagesize()
STATM = Path("/proc/self/statm")


class Figures:
    """Reads the figures of one server. `draining` is set when the server has begun to stop."""

    def __init__(self, store: AnyStore, dispatcher: Dispatcher, links: Links, counters: Counters) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._links = links
        self._counters = counters
        self.draining = False

    def values(self) -> dict[str, Any]:
        """Return the figures. They may be read in any thread."""
        counters = self._counters
        return {
            **self._store.figures(),
            "links": len(self._links),
            "nodes": len(self._dispatcher.lanes),
            "logins": counters.logins,
            "registrations": counters.registrations,
            "refusals": dict(counters.refusals),
            "resent": counters.resent,
            "oldest_in_flight": self._dispatcher.oldest_in_flight(),
            "loop_late_seconds": counters.loop_late_seconds.figures(),
            "errors": counters.errors.count,
            "last_errors": list(counters.errors.lines),
            "draining": self.draining,
            "cpu_seconds": round(time.process_time(), 3),
            "memory": memory(),
            "pid": os.getpid(),
        }


def memory() -> int:
    """Return the resident memory of this process in octets; the most that it ever was where there is no /proc."""
    try:
        return int(STATM.read_bytes().split()[1]) * PAGE_SIZE
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
