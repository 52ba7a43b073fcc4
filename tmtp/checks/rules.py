"""Rules for a dict of settings: unknown keys, and values of the wrong type or out of range. Optional apps use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from django.conf import settings
from django.core import checks

LONGEST = 10**9  # seconds; clocks and the database take no more than centuries
LARGEST = 10**18  # the database takes no larger whole numbers


class Rule(NamedTuple):
    """What a value must be: as a test, and in words that complete “Make it …”."""

    fits: Callable[[Any], bool]
    words: str


def is_whole(value: Any) -> bool:
    """Return whether a value is an int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST


def is_between(least: int, value: Any) -> bool:
    """Return whether a value is an int, at least `least`, which the database takes."""
    return is_whole(value) and least <= value <= LARGEST


FLAG = Rule(lambda value: isinstance(value, bool), "True or False")
SECONDS = Rule(_is_seconds, "a number of seconds above 0, at most 1,000,000,000")
SECONDS_OR_NONE = Rule(
    lambda value: value is None or _is_seconds(value), "a number of seconds above 0, at most 1,000,000,000, or None"
)
COUNT = Rule(lambda value: is_between(1, value), "a whole number from 1 to 10**18")
DOTTED_PATH = Rule(lambda value: isinstance(value, str) and value != "", "a dotted path, such as “shop.mail.Backend”")
DOTTED_PATH_OR_NONE = Rule(lambda value: value is None or DOTTED_PATH.fits(value), "a dotted path, or None")


class Messages:
    """Makes the messages of an app: their ids are the app's label, E or W, and a number of three digits."""

    def __init__(self, label: str) -> None:
        self._label = label

    def error(self, number: int, message: str, hint: str) -> checks.Error:
        """Return the error with this number."""
        return checks.Error(message, hint=hint, id=f"{self._label}.E{number:03}")

    def warning(self, number: int, message: str, hint: str) -> checks.Warning:
        """Return the warning with this number."""
        return checks.Warning(message, hint=hint, id=f"{self._label}.W{number:03}")


def check_settings(
    setting: str, defaults: Mapping[str, Any], rules: Mapping[str, Rule], messages: Messages
) -> list[checks.CheckMessage]:
    """Check a dict in the site's settings. E001: no dict. E002: a key without a default. E003: a rule is broken."""
    given = getattr(settings, setting, {})
    if not isinstance(given, dict):
        example = f'{setting} = {{"{next(iter(defaults))}": ..., ...}}'
        return [messages.error(1, f"{setting} is not a dict.", f"Write it as {example}.")]
    found: list[checks.CheckMessage] = [
        messages.error(2, f"{setting} has no setting “{key}”.", did_you_mean(key, defaults))
        for key in given
        if key not in defaults
    ]
    for key, (fits, words) in rules.items():
        if key in given and not fits(given[key]):
            message = f"{setting}[“{key}”] is {given[key]!r}."
            found.append(messages.error(3, message, f"Make it {words}, or leave it out."))
    return found


def did_you_mean(key: Any, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known key, or all of them."""
    names = sorted(known)
    close = get_close_matches(str(key).upper() if names[0].isupper() else str(key).lower(), names, n=1)
    return f"Did you mean “{close[0]}”?" if close else f"Remove it, or use one of: {', '.join(names)}."
