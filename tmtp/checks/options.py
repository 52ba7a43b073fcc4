"""The settings in TMTP: unknown keys, and values of the wrong type or out of range."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT_LIMITS, DEFAULTS, conf
from ..openid.providers import parse_settings
from ..services.people.names import is_name

Rule = tuple[Callable[[Any], bool], str]  # what a value must be, as a test and in words


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_address(value: Any) -> bool:
    try:
        conf.address(value)
    except ImproperlyConfigured:
        return False
    return isinstance(value, str) and ":" in value


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


TEXT: Rule = (lambda value: isinstance(value, str) and 0 < len(value.encode()) <= 1000, "a name of 1 to 1,000 octets")
ALIAS: Rule = (
    lambda value: isinstance(value, str) and (not value or is_name(value)),
    "printable characters, 8 or more octets",
)
ADDRESS: Rule = (_is_address, "HOST:PORT, such as “0.0.0.0:7443” or “[::]:7443”")
PUBLIC: Rule = (
    lambda value: value == "" or (_is_address(value) and conf.address(value)[1] > 0),
    "HOST:PORT as devices dial it, such as “mnm.example.org:7443”, or empty",
)
TEMPLATE: Rule = (lambda value: isinstance(value, str) and value != "", "the name of a template")
PATH: Rule = (lambda value: value is None or (isinstance(value, str | os.PathLike) and str(value) != ""), "a path")
FLAG: Rule = (lambda value: isinstance(value, bool), "True or False")
SECONDS: Rule = (_is_seconds, "a number of seconds above 0")
WINDOW: Rule = (lambda value: _is_whole(value) and 1 <= value <= 1000, "a whole number from 1 to 1000")
OCTETS: Rule = (lambda value: _is_whole(value) and value >= 1, "a whole number of octets, 1 or more")
LIMIT: Rule = (lambda value: value is None or (_is_whole(value) and value >= 1), "None or a whole number, 1 or more")

RULES: dict[str, Rule] = {
    "SITE_NAME": TEXT,
    "SITE_ALIAS": ALIAS,
    "BASE_TEMPLATE": TEMPLATE,
    "BIND": ADDRESS,
    "PUBLIC_ADDRESS": PUBLIC,
    "CERT": PATH,
    "KEY": PATH,
    "SPOOL_DIR": PATH,
    "OPEN_REGISTRATION": FLAG,
    "OPENID_MAX_AGE": SECONDS,
    "INVITED_MAY_POST": FLAG,
    "WINDOW": WINDOW,
    "RESEND_AFTER": SECONDS,
    "POLL": SECONDS,
    "LOGIN_TIMEOUT": SECONDS,
    "IDLE_TIMEOUT": SECONDS,
    "WRITE_TIMEOUT": SECONDS,
    "STORE_PATIENCE": SECONDS,
    "MAX_BODY": OCTETS,
}
CHECKED_ELSEWHERE = {"OPENID", "LIMITS"}


@checks.register("tmtp")
def check_options(**_: Any) -> list[checks.CheckMessage]:
    """E001 to E006."""
    given = getattr(settings, "TMTP", {})
    if not isinstance(given, dict):
        return [_error(1, "TMTP is not a dict.", 'Write it as TMTP = {"SITE_NAME": ..., ...}.')]
    found = [_error(2, f"TMTP has no setting “{key}”.", _meant(key, DEFAULTS)) for key in given if key not in DEFAULTS]
    for key, (fits, words) in RULES.items():
        if key in given and not fits(given[key]):
            found.append(_error(3, f"TMTP[“{key}”] is {given[key]!r}.", f"Make it {words}, or leave it out."))
    return found + list(_check_limits(conf.LIMITS)) + list(_check_openid(conf.OPENID))


def _check_limits(limits: Any) -> Iterable[checks.CheckMessage]:
    if limits is None:
        return
    if not isinstance(limits, dict):
        yield _error(5, f"TMTP[“LIMITS”] is {limits!r}.", "Make it a dict, or None to lift all limits.")
        return
    for name, value in limits.items():
        if name not in DEFAULT_LIMITS:
            yield _error(4, f"TMTP[“LIMITS”] has no limit “{name}”.", _meant(name, DEFAULT_LIMITS))
        elif not LIMIT[0](value):
            yield _error(5, f"TMTP[“LIMITS”][“{name}”] is {value!r}.", f"Make it {LIMIT[1]}; None lifts the limit.")


def _check_openid(value: Any) -> Iterable[checks.CheckMessage]:
    try:
        parse_settings(value)
    except ImproperlyConfigured as error:
        yield _error(6, str(error), "Correct TMTP[“OPENID”]; until then the service does not start.")


def _meant(key: Any, known: Iterable[str]) -> str:
    """What was probably meant, or all there is."""
    names = sorted(known)
    close = get_close_matches(str(key).upper() if names[0].isupper() else str(key).lower(), names, n=1)
    return f"Did you mean “{close[0]}”?" if close else f"Remove it, or use one of: {', '.join(names)}."


def _error(number: int, message: str, hint: str) -> checks.Error:
    return checks.Error(message, hint=hint, id=f"tmtp.E{number:03}")
