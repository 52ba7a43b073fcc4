"""What the store counts and measures, once for each batch: a message costs it no time of its own.

The store's thread writes, and others only read. A number that they read may be a batch behind another.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from ..services.queue.batch import Parcel
from ..services.queue.reports import Note
from .batching import Job, PostJob

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
JOBS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Histogram:
    """How many values there were up to each bound, and above the last one, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def figures(self) -> dict[str, Any]:
        """Return the bounds, the counts between them and the sum, for JSON."""
        return {"bounds": list(self._bounds), "counts": list(self._counts), "sum": round(self._sum, 6)}


class StoreCounters:
    """The counters of one store."""

    def __init__(self) -> None:
        self.posts = 0  # that were stored
        self.entries = 0  # added to queues: a post and each node that it is for
        self.deliveries = 0  # entries that were acknowledged
        self.commit_seconds = Histogram(SECONDS)  # the commits themselves
        self.batch_seconds = Histogram(SECONDS)  # whole batches, with their commits
        self.batch_jobs = Histogram(JOBS)  # requests and acknowledgements in a batch
        self.committed = time.monotonic()  # when the last batch was

    def add(self, jobs: Sequence[Job], acked: Sequence[object], parcels: Sequence[Parcel]) -> None:
        """Count a batch that was committed. `acked` are entries and notes."""
        self.posts += sum([type(job) is PostJob and type(job.result) is int for job in jobs])
        self.entries += sum([len(parcel.nodes) for parcel in parcels])
        self.deliveries += sum([type(item) is not Note for item in acked])
        self.batch_jobs.add(len(jobs) + len(acked))
        self.committed = time.monotonic()

    def figures(self) -> dict[str, Any]:
        """Return all of them, for JSON."""
        return {
            "posts": self.posts,
            "entries": self.entries,
            "deliveries": self.deliveries,
            "commit_seconds": self.commit_seconds.figures(),
            "batch_seconds": self.batch_seconds.figures(),
            "batch_jobs": self.batch_jobs.figures(),
            "since_commit": round(time.monotonic() - self.committed, 3),
        }
