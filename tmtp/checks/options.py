"""The settings in TMTP: unknown keys, and values of the wrong type or out of range."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT_LIMITS, DEFAULT_NTP, DEFAULTS, conf, ntp_address
from ..openid.providers import parse_settings
from ..server.proxy import Proxies
from ..services.people.names import is_name
from .rules import (
    DOTTED_PATH,
    FLAG,
    SECONDS,
    SECONDS_OR_NONE,
    Messages,
    Rule,
    check_settings,
    did_you_mean,
    is_between,
    is_whole,
)

messages = Messages("tmtp")


def _is_address(value: Any) -> bool:
    try:
        conf.address(value)
    except ImproperlyConfigured:
        return False
    return isinstance(value, str) and ":" in value


def _is_ntp_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and ntp_address(value)[1] > 0
    except ValueError:
        return False


def _are_networks(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not all(isinstance(network, str) for network in value):
        return False
    try:
        Proxies(value)
    except ValueError:
        return False
    return True


def _octets(value: str) -> int:
    """Return the number of octets in UTF-8, 0 if the text is not Unicode: a variable in another encoding."""
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return 0


def _is_path(value: Any) -> bool:
    """Return whether a value can be a path. Raise nothing for a null character, or text that is not Unicode."""
    try:
        return isinstance(value, str | os.PathLike) and str(value) != "" and b"\0" not in os.fsencode(value)
    except (TypeError, UnicodeEncodeError):
        return False


TEXT = Rule(
    lambda value: isinstance(value, str) and 0 < _octets(value) <= 1000, "a name of 1 to 1,000 octets in UTF-8"
)
ALIAS = Rule(
    lambda value: isinstance(value, str) and (not value or (_octets(value) > 0 and is_name(value))),
    "printable characters, 8 or more octets",
)
ADDRESS = Rule(_is_address, "HOST:PORT, such as “0.0.0.0:7443” or “[::]:7443”")
PUBLIC = Rule(
    lambda value: value == "" or (_is_address(value) and conf.address(value)[1] > 0),
    "HOST:PORT as devices dial it, such as “mnm.example.org:7443”, or empty",
)
SIDE = Rule(
    lambda value: value == "" or _is_address(value), "HOST:PORT, such as “127.0.0.1:9743”, or empty for no metrics"
)
TOKEN = Rule(
    lambda value: (
        isinstance(value, str) and (not value or (len(value) >= 16 and value.isascii() and value.isprintable()))
    ),
    "text of 16 or more printable ASCII characters, or empty",
)
NETWORKS = Rule(_are_networks, "a list of networks, such as [“10.0.0.0/8”, “192.0.2.1”]")
TEMPLATE = Rule(lambda value: isinstance(value, str) and value != "", "the name of a template")
PATH = Rule(lambda value: value is None or _is_path(value), "a path")
STORAGE = Rule(lambda value: isinstance(value, str), "a key of STORAGES, or empty")
WINDOW = Rule(lambda value: is_whole(value) and 1 <= value <= 1000, "a whole number from 1 to 1000")
OCTETS = Rule(lambda value: is_between(1, value), "a whole number of octets from 1 to 10**18")
FREE = Rule(lambda value: is_between(0, value), "a whole number of octets from 0 to 10**18")
NAMES = Rule(
    lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value),
    "a list of e-mail addresses, aliases and gids",
)
LIMIT = Rule(lambda value: value is None or is_between(1, value), "None or a whole number from 1 to 10**18")

HOSTS = Rule(
    lambda value: isinstance(value, list | tuple) and all(_is_ntp_address(host) for host in value),
    "a list of HOST or HOST:PORT, such as [“ntp.example.org”]",
)
RETRIES = Rule(lambda value: is_whole(value) and 0 <= value <= 100, "a whole number from 0 to 100")
NTP_RULES = {"HOSTS": HOSTS, "RETRIES": RETRIES}

RULES: dict[str, Rule] = {
    "SITE_NAME": TEXT,
    "SITE_ALIAS": ALIAS,
    "BASE_TEMPLATE": TEMPLATE,
    "BIND": ADDRESS,
    "PUBLIC_ADDRESS": PUBLIC,
    "PROXIES": NETWORKS,
    "METRICS": SIDE,
    "METRICS_TOKEN": TOKEN,
    "CERT": PATH,
    "KEY": PATH,
    "SPOOL_DIR": PATH,
    "SPOOL_STORAGE": STORAGE,
    "SPOOL_CACHE": FREE,
    "OPEN_REGISTRATION": FLAG,
    "OPENID_MAX_AGE": SECONDS,
    "INVITED_MAY_POST": FLAG,
    "MEMBERS_MAY_BAR": FLAG,
    "ABUSE_REPORTS_TO": NAMES,
    "CONFIRMATION": DOTTED_PATH,
    "DELETION_AFTER": SECONDS,
    "WINDOW": WINDOW,
    "RESEND_AFTER": SECONDS,
    "POLL": SECONDS,
    "LOGIN_TIMEOUT": SECONDS,
    "DRAIN": SECONDS,
    "IDLE_TIMEOUT": SECONDS,
    "WRITE_TIMEOUT": SECONDS,
    "STORE_PATIENCE": SECONDS,
    "PROCESS_TIMEOUT": SECONDS_OR_NONE,
    "MAX_BODY": OCTETS,
    "MIN_FREE": FREE,
    "DRAFTS_KEPT": SECONDS_OR_NONE,
}
CHECKED_ELSEWHERE = {"OPENID", "LIMITS", "NTP"}


@checks.register("tmtp")
def check_options(**_: Any) -> list[checks.CheckMessage]:
    """Check the dict and each of its values: E001 to E006, E012."""
    found = check_settings("TMTP", DEFAULTS, RULES, messages)
    return [*found, *_check_limits(conf.LIMITS), *_check_openid(conf.OPENID), *_check_ntp(conf.NTP)]


def _check_limits(limits: Any) -> Iterable[checks.CheckMessage]:
    if limits is None:
        return
    if not isinstance(limits, dict):
        yield messages.error(5, f"TMTP[“LIMITS”] is {limits!r}.", "Make it a dict, or None to lift all limits.")
        return
    for name, value in limits.items():
        if name not in DEFAULT_LIMITS:
            yield messages.error(4, f"TMTP[“LIMITS”] has no limit “{name}”.", did_you_mean(name, DEFAULT_LIMITS))
        elif not LIMIT.fits(value):
            hint = f"Make it {LIMIT.words}; None lifts the limit."
            yield messages.error(5, f"TMTP[“LIMITS”][“{name}”] is {value!r}.", hint)


def _check_openid(value: Any) -> Iterable[checks.CheckMessage]:
    try:
        parse_settings(value)
    except ImproperlyConfigured as error:
        yield messages.error(6, str(error), "Correct TMTP[“OPENID”]; until then the service does not start.")


def _check_ntp(value: Any) -> Iterable[checks.CheckMessage]:
    if not isinstance(value, dict):
        hint = 'Write it as "NTP": {"HOSTS": [...], "RETRIES": 4}.'
        yield messages.error(12, f"TMTP[“NTP”] is {value!r}.", hint)
        return
    for key, given in value.items():
        if key not in NTP_RULES:
            yield messages.error(12, f"TMTP[“NTP”] has no setting “{key}”.", did_you_mean(key, DEFAULT_NTP))
        elif not NTP_RULES[key].fits(given):
            hint = f"Make it {NTP_RULES[key].words}, or leave it out."
            yield messages.error(12, f"TMTP[“NTP”][“{key}”] is {given!r}.", hint)
    if value.get("HOSTS") and importlib.util.find_spec("ntplib") is None:
        hint = 'pip install "mnm-django[ntp]"'
        yield messages.error(12, "TMTP[“NTP”] has HOSTS, and the package ntplib is not installed.", hint)
