"""Figures: what a work took of time, processor and memory, and how long each message was under way."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tmtp.simulation.place import memory

PERCENTILES = (50, 90, 99)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had; nan where that cannot be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of all are not above; nan when there is none. `values` are sorted."""
    if not values:
        return float("nan")
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


@dataclass
class Row:
    """A line of the table. Rates are per second, latencies in milliseconds from post to delivery."""

    name: str
    seconds: float = 0.0
    posts: float = 0.0
    deliveries: float = 0.0
    latencies: dict[int, float] = field(default_factory=dict)
    cpu: float = float("nan")
    memory: float = float("nan")
    note: str = ""
    offered: float = 0.0


class Watch:
    """Measures a work on the server with this process id."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = cpu_seconds(pid)
        self.begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.begun

    def row(self, name: str, posts: int, deliveries: int, taken: array[float], note: str = "") -> Row:
        """What has been done by now."""
        seconds = self.seconds
        ordered = sorted(taken)
        return Row(
            name,
            seconds,
            posts / seconds,
            deliveries / seconds,
            {percent: 1000 * percentile(ordered, percent) for percent in PERCENTILES},
            cpu_seconds(self._pid) - self._cpu,
            memory(self._pid) or float("nan"),
            note,
        )
