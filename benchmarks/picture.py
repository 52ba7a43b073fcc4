"""Draw latency over offered load as SVG: one line per percentile, on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .measure import PERCENTILES, Row

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 60, 40, 50
COLOURS = {50: "#2b6cb0", 90: "#b7791f", 99: "#c53030"}
MS = (1, 10, 100, 1000, 10_000)
TEXT = 'font-family="sans-serif" font-size="12"'


def picture(title: str, rows: Sequence[Row]) -> str:
    """Return the SVG. `rows` are sorted by load; there are at least two."""
    loads = [row.offered for row in rows]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, 'font-weight="bold"'),
        *_axes(loads),
        *[_line(percent, rows) for percent in PERCENTILES],
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(load: float, loads: Sequence[float]) -> float:
    share = math.log(load / loads[0]) / math.log(loads[-1] / loads[0])
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(ms: float) -> float:
    share = math.log(min(max(ms, MS[0]), MS[-1]) / MS[0]) / math.log(MS[-1] / MS[0])
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _axes(loads: Sequence[float]) -> Iterable[str]:
    for ms in MS:
        y = _y(ms)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield _text(LEFT - 8, y + 4, f"{ms:,} ms", 'text-anchor="end"')
    for load in loads:
        x = _x(load, loads)
        yield f'<line x1="{x:.1f}" y1="{HEIGHT - BOTTOM}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM + 5}" stroke="#888888"/>'
        yield _text(x, HEIGHT - BOTTOM + 20, f"{load:,.0f}", 'text-anchor="middle"')
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield _text(middle, HEIGHT - 10, "posts per second offered, each to two recipients", 'text-anchor="middle"')


def _line(percent: int, rows: Sequence[Row]) -> str:
    loads = [row.offered for row in rows]
    points = [(_x(row.offered, loads), _y(row.latencies[percent])) for row in rows]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    colour = COLOURS[percent]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    label = _text(x + 8, y + 4, f"p{percent}", f'fill="{colour}"')
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{label}'


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {TEXT} {more}>{words}</text>'
