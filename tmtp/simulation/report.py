"""The output of a simulation: a progress line, and a summary."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from django.utils.translation import gettext as _

from .client import Run

BAR = 20
LOG_EVERY = 10.0  # seconds between lines if the output is not a terminal
MEGA = 1e6
Memory = Callable[[], float | None]


@dataclass
class Report:
    """Shows the progress of a run. `fraction` returns how much of it is done, or None if it has no planned end."""

    run: Run
    out: TextIO
    memory: Memory
    fraction: Callable[[], float | None]
    peak: float = 0.0
    begun: float = field(default_factory=time.monotonic)
    _last: tuple[float, int, int] = (0.0, 0, 0)
    _logged: float = 0.0
    _width: int = 0

    def update(self, phase: str = "") -> None:
        """Update the progress line, or print a new line if the output is not a terminal."""
        line = self._line(phase)
        if self.out.isatty():
            self.out.write(f"\r{line:<{self._width}}")
            self._width = len(line)
        elif time.monotonic() - self._logged >= LOG_EVERY:
            self._logged = time.monotonic()
            self.out.write(line + "\n")
        self.out.flush()

    def end_line(self) -> None:
        """End the progress line."""
        if self._width:
            self.out.write("\n")
            self._width = 0

    def _line(self, phase: str) -> str:
        ledger, now = self.run.world.ledger, time.monotonic()
        when, count, octets = self._last
        seconds = max(now - when, 1e-3) if when else max(now - self.begun, 1e-3)
        self._last = now, ledger.arrived, ledger.arrived_octets
        rate, flow = (ledger.arrived - count) / seconds, (ledger.arrived_octets - octets) / seconds
        parts = [
            self._bar(),
            clock(now - self.begun),
            _("%s messages") % f"{ledger.arrived:,}",
            f"{ledger.arrived_octets / MEGA:,.1f} MB",
            f"{rate:,.0f}/s",
            f"{flow / MEGA:,.1f} MB/s",
            self._memory(),
            phase,
        ]
        return "  ".join(filter(None, parts))

    def _bar(self) -> str:
        fraction = self.fraction()
        if fraction is None:
            return ""
        full = round(min(fraction, 1.0) * BAR)
        return f"[{'#' * full}{'.' * (BAR - full)}]"

    def _memory(self) -> str:
        used = self.memory()
        if used is None:
            return ""
        self.peak = max(self.peak, used)
        return _("server %d MB") % used

    # at the end

    def summary(self, seconds: float, log: str = "") -> str:
        """Return all figures. `seconds` is the time until the last delivery, `log` the errors in the server's log."""
        rows = [(name, value) for name, value in self._rows(max(seconds, 1e-3)) if value]
        width = max(len(name) for name, _value in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        lines += [f"  {example}" for example in self.run.world.ledger.examples]
        return "\n".join([*lines, log]) if log else "\n".join(lines)

    def _rows(self, seconds: float) -> list[tuple[str, str]]:
        ledger, counts = self.run.world.ledger, self.run.counts
        return [
            (_("members"), f"{len(self.run.world.users):,}"),
            (_("time"), clock(seconds)),
            (_("logins"), f"{counts['logins']:,}"),
            (_("cycles"), f"{counts['cycles']:,}"),
            (_("nodes added"), f"{counts['nodes added']:,}"),
            (_("posts acknowledged"), f"{ledger.acked:,}  {ledger.acked / seconds:,.1f}/s"),
            (_("deliveries"), f"{ledger.arrived:,}  {ledger.arrived / seconds:,.1f}/s"),
            (_("octets delivered"), f"{ledger.arrived_octets / MEGA:,.1f} MB  {self._flow(seconds):,.2f} MB/s"),
            (_("other messages"), f"{self.run.world.others:,}"),
            (_("server memory, peak"), f"{self.peak:,.0f} MB" if self.peak else ""),
            (_("sent again, unacknowledged"), f"{ledger.again:,}" if ledger.again else ""),
            *[(name, f"{count:,}") for name, count in counts.items() if name.startswith("links lost")],
            *[(name, f"{count:,}") for name, count in ledger.faults.items()],
            (_("lost"), f"{ledger.due:,}"),
        ]

    def _flow(self, seconds: float) -> float:
        return self.run.world.ledger.arrived_octets / MEGA / seconds


def clock(seconds: float) -> str:
    """Format seconds as MM:SS."""
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
