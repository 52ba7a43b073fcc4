"""Draw a plot as SVG for a page. Colours come from the page's style sheet, so that they follow its light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.utils import formats
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..times import local_time
from .series import Line, Plot

WIDTH, HEIGHT = 480, 170
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 24


def draw(plot: Plot, name: str) -> SafeString:
    """Return the SVG. `name` says which time it is about, such as “last hour”."""
    most = nice_bound(max((value for line in plot.lines for value in line.values if value is not None), default=0.0))
    parts = [*_grid(most, plot.unit), *_times(plot.times), *_lines(plot, most), *_legend(plot.lines), _name(name)]
    return format_html(
        '<svg class="tmtp-plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        WIDTH,
        HEIGHT,
        _describe(plot, name),
        format_html_join("", "{}", ((part,) for part in parts)),
    )


def nice_bound(value: float) -> float:
    """Return a round number that is not below the value: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999999)


def shown(value: float) -> str:
    """Return a number with as many digits as there is room for."""
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return formats.number_format(round(value, digits), digits, use_l10n=True, force_grouping=True)


def _describe(plot: Plot, name: str) -> str:
    """Return the plot in words: each line's last and highest value."""
    words = []
    for line in plot.lines:
        values = [value for value in line.values if value is not None]
        if values:
            words.append(
                _("%(line)s %(last)s, at most %(most)s")
                % {"line": line.label, "last": shown(values[-1]), "most": shown(max(values))}
            )
    said = "; ".join(words) or _("no measurements")
    return f"{plot.title} ({plot.unit}), {name}: {said}" if plot.unit else f"{plot.title}, {name}: {said}"


def _name(name: str) -> SafeString:
    return format_html('<text class="end" x="{}" y="14">{}</text>', WIDTH - RIGHT, name)


def _y(value: float, most: float) -> str:
    return f"{HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM):.1f}"


def _grid(most: float, unit: str) -> Iterator[SafeString]:
    for value in (0.0, most / 2, most):
        y = _y(value, most)
        yield format_html('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>', LEFT, y, WIDTH - RIGHT, y)
        label = f"{shown(value)} {unit}".strip()
        yield format_html('<text class="end" x="{}" y="{}" dy="4">{}</text>', LEFT - 6, y, label)


def _times(times: Sequence[datetime]) -> Iterator[SafeString]:
    """Yield the labels of the first and last time, and of the one in the middle."""
    if len(times) < 2:
        return
    y = HEIGHT - 7
    middle = times[0] + (times[-1] - times[0]) / 2
    for at, place, x in ((times[0], "start", LEFT), (middle, "middle", _middle()), (times[-1], "end", WIDTH - RIGHT)):
        text = formats.time_format(local_time(at), "H:i")
        yield format_html('<text class="{}" x="{}" y="{}">{}</text>', place, x, y, text)


def _middle() -> float:
    return (LEFT + WIDTH - RIGHT) / 2


def _lines(plot: Plot, most: float) -> Iterator[SafeString]:
    for number, line in enumerate(plot.lines, 1):
        for points in _pieces(plot.times, line, most):
            yield format_html('<polyline class="line-{}" points="{}"/>', number, points)


def _pieces(times: Sequence[datetime], line: Line, most: float) -> Iterator[str]:
    """Yield the points of each piece of a line without a gap. A single point becomes a short piece."""
    whole = (times[-1] - times[0]).total_seconds() if times else 0.0
    piece: list[str] = []
    for at, value in [*zip(times, line.values, strict=True), (None, None)]:
        if value is not None and at is not None:
            x = LEFT + (at - times[0]).total_seconds() / (whole or 1.0) * (WIDTH - LEFT - RIGHT)
            piece.append(f"{x:.1f},{_y(value, most)}")
        elif piece:
            yield " ".join(piece if len(piece) > 1 else [piece[0], piece[0]])
            piece = []


def _legend(lines: Sequence[Line]) -> Iterator[SafeString]:
    if len(lines) < 2:
        return
    for number, line in enumerate(lines, 1):
        x = LEFT + (number - 1) * 110
        yield format_html('<line class="line-{}" x1="{}" y1="10" x2="{}" y2="10"/>', number, x, x + 20)
        yield format_html('<text class="start" x="{}" y="14">{}</text>', x + 26, line.label)
