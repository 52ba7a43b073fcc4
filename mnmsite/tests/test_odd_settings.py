"""Whatever a setting is, a check reports it, and none raises: with a traceback, nobody sees what the others report."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks.registry import registry
from django.test import override_settings

import tmtp.api.checks
import tmtp.checks.options
import tmtp.delivery.checks
import tmtp.notices.checks
from tmtp import conf
from tmtp.checks.rules import Rule

pytestmark = pytest.mark.once
APPS = {
    "TMTP": (conf.DEFAULTS, tmtp.checks.options.RULES),
    "TMTP_API": (tmtp.api.checks.DEFAULTS, tmtp.api.checks.RULES),
    "TMTP_DELIVERY": (tmtp.delivery.checks.DEFAULTS, tmtp.delivery.checks.RULES),
    "TMTP_NOTICES": (tmtp.notices.checks.DEFAULTS, tmtp.notices.checks.RULES),
}
NUMBERS = [None, True, -1, 0, 7, 10**400, 1.5, float("nan"), float("inf"), complex(1)]
TEXTS = ["", "x", "\0", "\ud800", "é" * 5000, "/", "../../etc/passwd", "{{ x }}", "a..b", ".a", "os", "%s", b"\xff"]
ADDRESSES = ["http://[", "https://x:99999", "http://:1", "::", "[::1]:x", "0x:1", "mailto:"]
OTHERS = [[], [None], ["\0"], {}, {"x": None}, {7: 8}, {"a": ["b"]}, {1}, range(3), object(), Path("/")]
ODD = [*NUMBERS, *TEXTS, *ADDRESSES, *OTHERS]


def found(setting: str, value: object) -> list[CheckMessage]:
    """Return what all checks of the apps report with this setting."""
    own = [check for check in registry.get_checks() if check.__module__.startswith("tmtp.")]
    with override_settings(**{setting: value}):
        return [message for check in own for message in check(app_configs=None)]


@pytest.mark.parametrize("setting", APPS)
def test_each_key_with_each_odd_value(setting: str) -> None:
    defaults, rules = APPS[setting]
    before = getattr(settings, setting)
    for place, key in enumerate(defaults):
        for value in ODD[place % 3 :: 3]:  # each value for a third of the keys
            ids = {message.id for message in found(setting, {**before, key: value})}
            rule: Rule | None = rules.get(key)
            assert rule is None or rule.fits(value) or any(one and one.endswith("E003") for one in ids), (key, value)


@pytest.mark.parametrize("setting", [*APPS, "LOGIN_URL", "ASGI_APPLICATION", "CHANNEL_LAYERS", "Q_CLUSTER"])
def test_each_setting_with_each_odd_value(setting: str) -> None:
    for value in ODD:
        found(setting, value)


@pytest.mark.parametrize("key", ["HOSTS", "RETRIES", "auth", "authby", "links"])
def test_what_is_within_a_setting(key: str) -> None:
    whole = {"HOSTS": "NTP", "RETRIES": "NTP", "links": "LIMITS"}.get(key, "OPENID")
    before = settings.TMTP
    for value in ODD:
        for given in (value, [value]):
            found("TMTP", {**before, whole: {key: given}})
