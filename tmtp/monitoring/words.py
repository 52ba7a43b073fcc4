"""Figures in words, for people."""

from __future__ import annotations

from typing import Any

from django.utils.formats import number_format

MINUTES, HOUR, DAY = 600, 3600, 86400  # seconds


def duration(seconds: float) -> str:
    """Return a time in seconds or, if it is long, in hours or days."""
    if seconds < MINUTES:
        return f"{tenths(seconds)} s"
    return f"{tenths(seconds / HOUR)} h" if seconds < 2 * DAY else f"{tenths(seconds / DAY)} d"


def tenths(number: float) -> str:
    """Return a number with one decimal place, as it is written in the active language."""
    return number_format(round(number, 1), 1)


def mean_of(figures: dict[str, Any] | None) -> float:
    """Return the mean of a histogram's figures, 0 if it is empty."""
    count = sum(figures["counts"]) if figures else 0
    return float(figures["sum"]) / count if figures and count else 0.0


def grouped(number: float) -> str:
    """Return a number with separators between thousands."""
    return number_format(number, use_l10n=True, force_grouping=True)
