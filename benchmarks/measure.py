"""Measure a workload: its time, processor time and memory, and the latency of each message."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tmtp.simulation.temporary_server import memory

PERCENTILES = (50, 90, 99)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, or nan if it is unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted values, or nan if there are none."""
    if not values:
        return float("nan")
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


@dataclass
class Row:
    """A row of the table. Rates are per second; latencies are milliseconds from post to delivery; memory is in MB."""

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
    """Measures a workload on the server with this process id."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = cpu_seconds(pid)
        self.begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return time.perf_counter() - self.begun

    def row(self, name: str, posts: int, deliveries: int, taken: array[float], note: str = "") -> Row:
        """Return the figures up to now."""
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
