"""The list of scenarios, to which each module adds its own."""

from __future__ import annotations

from collections.abc import Callable

FIRST_ID = 1_234_567  # of each table, so that ids formatted for readers, with separators, are noticed
BODY = "It arrives on **Monday**."
SCENARIOS: list[Callable[[], None]] = []


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    SCENARIOS.append(function)
    return function
