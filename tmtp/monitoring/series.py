"""What the plots show: the samples of the last hour and day as lines over time.

Counters only rise while a server runs, so the rate between two samples of a server is their difference over the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from ..models import Sample
from ..services.monitoring import samples

Values = dict[str, Any]


class Span(NamedTuple):
    """A time to plot, and the time from one point to the next."""

    whole: timedelta
    step: timedelta


HOUR = Span(timedelta(hours=1), timedelta(minutes=1))
DAY = Span(timedelta(days=1), timedelta(minutes=samples.COARSE))


class Point(NamedTuple):
    """What there was at a time: of the whole service and of each server, and how much each server's counters rose."""

    at: datetime
    whole: Values
    servers: list[Values]
    risen: list[Rise]


@dataclass(slots=True)
class Rise:
    """The figures of a server now and before. `before` is empty for a server that has started meanwhile."""

    before: Values
    now: Values
    seconds: float

    def of(self, *names: str) -> float:
        """Return how much a counter has risen. Further names lead into it: of("commit_seconds", "sum")."""
        return max(0.0, _number(self.now, names) - _number(self.before, names))


class Line(NamedTuple):
    """A line of a plot. A value is None where nothing was measured."""

    label: str
    values: list[float | None]


class Plot(NamedTuple):
    """Lines over the same times. `unit` follows the numbers."""

    title: str
    unit: str
    times: list[datetime]
    lines: list[Line]


def plots(span: Span) -> list[Plot]:
    """Return the plots of the last hour or day."""
    points = list(_with_gaps(list(_points(span)), span.step))
    times = [at for at, _point in points]

    def line(label: str, value: Callable[[Point], float]) -> Line:
        return Line(label, [None if point is None else value(point) for _at, point in points])

    return [
        Plot(_("Links"), "", times, [line(_("links"), lambda point: _sum(point.servers, "links"))]),
        Plot(
            _("Messages per second"),
            "",
            times,
            [
                line(_("posts"), lambda point: _rate(point, "posts")),
                line(_("deliveries"), lambda point: _rate(point, "deliveries")),
            ],
        ),
        Plot(_("Time of a commit"), "ms", times, [line(_("mean"), lambda point: _mean_ms(point, "commit_seconds"))]),
        Plot(
            _("Oldest message in flight"),
            "s",
            times,
            [line(_("age"), lambda point: max((one.get("oldest_in_flight", 0) for one in point.servers), default=0))],
        ),
        Plot(_("Waiting for devices"), "", times, [line(_("messages"), _waiting)]),
        Plot(_("Refused per minute"), "", times, [line(_("refused"), lambda point: 60 * _rate(point, "refusals"))]),
    ]


def _points(span: Span) -> Iterator[Point]:
    """Yield the points of a span, the oldest first."""
    since = samples.this_minute() - span.whole
    found = Sample.objects.filter(at__gte=since - span.step).order_by("at")
    if span.step > HOUR.step:
        found = found.filter(samples.is_kept())
    by_time: dict[datetime, dict[int, Values]] = {}
    for sample in found:
        by_time.setdefault(sample.at, {})[sample.server] = sample.values
    last: dict[int, tuple[datetime, Values]] = {}
    for at, values in by_time.items():
        whole = values.pop(Sample.WHOLE, {})
        risen = [_rise(last.get(server), at, now, span.step) for server, now in values.items()]
        known = bool(last)
        last.update({server: (at, now) for server, now in values.items()})
        if at >= since and (known or at > since):
            yield Point(at, whole, list(values.values()), risen if known else [])


def _rise(before: tuple[datetime, Values] | None, at: datetime, now: Values, step: timedelta) -> Rise:
    if before is None:
        return Rise({}, now, step.total_seconds())
    return Rise(before[1], now, max(1.0, (at - before[0]).total_seconds()))


def _with_gaps(points: Sequence[Point], step: timedelta) -> Iterator[tuple[datetime, Point | None]]:
    """Yield the points with their times, and None where some are missing."""
    for before, point in zip([None, *points], points, strict=False):
        if before is not None and point.at - before.at > 1.5 * step:
            yield before.at + step, None
        yield point.at, point


def _number(values: Values, names: Sequence[str]) -> float:
    """Return a figure; the sum of it if it is a list or a dict."""
    found: Any = values
    for name in names:
        found = found.get(name, {})
    if isinstance(found, dict):
        return float(sum(found.values()))
    return float(sum(found)) if isinstance(found, list) else float(found)


def _sum(servers: Sequence[Values], name: str) -> float:
    return sum(_number(values, [name]) for values in servers)


def _rate(point: Point, name: str) -> float:
    return sum(rise.of(name) / rise.seconds for rise in point.risen)


def _mean_ms(point: Point, name: str) -> float:
    count = sum(rise.of(name, "counts") for rise in point.risen)
    return 1000 * sum(rise.of(name, "sum") for rise in point.risen) / count if count else 0.0


def _waiting(point: Point) -> float:
    queue: dict[str, int] = point.whole.get("queues", {}).get("device", {})
    return float(queue.get("waiting", 0))
