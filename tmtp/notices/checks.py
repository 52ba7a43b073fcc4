"""System checks of the settings in TMTP_NOTICES. Each id is in docs/reference/checks.md."""

from __future__ import annotations

import os
import re
from typing import Any

from django.conf import settings
from django.core import checks

from tmtp.checks.options import PATH
from tmtp.checks.rules import FLAG, SECONDS, Messages, Rule, check_settings, is_whole
from tmtp.web import checks as web

from . import vapid
from .conf import DEFAULTS, conf

messages = Messages("tmtp_notices")

COLOR = Rule(
    lambda value: isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value) is not None,
    "a colour, such as “#0b5a8a”",
)
PATH_OR_NONE = Rule(PATH.fits, "a path, or None")
RULES: dict[str, Rule] = {
    "VAPID_KEY": PATH_OR_NONE,
    "CONTACT": Rule(
        lambda value: value == "" or (isinstance(value, str) and value.startswith(("mailto:", "https://"))),
        "an address, such as “mailto:admin@example.org”",
    ),
    "PUSH_TTL": SECONDS,
    "PRIVATE_ENDPOINTS": FLAG,
    "SHOW_SENDER": FLAG,
    "DIGEST_HOUR": Rule(lambda value: is_whole(value) and 0 <= value < 24, "an hour, 0 to 23"),
    "THEME_COLOR": COLOR,
    "BACKGROUND_COLOR": COLOR,
}


@checks.register("tmtp_notices")
def check_options(**_: Any) -> list[checks.CheckMessage]:
    """E001 to E003."""
    return check_settings("TMTP_NOTICES", DEFAULTS, RULES, messages)


@checks.register("tmtp_notices")
def check_pages(**_: Any) -> list[checks.CheckMessage]:
    """W001: the pages have no addresses."""
    return web.check_urls("tmtp_notices", "preferences", 'path("notifications/", include("tmtp.notices.urls"))')


@checks.register("tmtp_notices")
def check_push(**_: Any) -> list[checks.CheckMessage]:
    """W005 and E005: there is no key, or it cannot be used."""
    if not PATH_OR_NONE.fits(conf.VAPID_KEY):
        return []  # E003
    try:
        vapid.key()
    except vapid.NoKey as error:
        hint = "Set TMTP_NOTICES[“VAPID_KEY”] to the path of a file, and run manage.py tmtpvapid, which makes the key."
        if conf.VAPID_KEY and os.path.exists(conf.VAPID_KEY):
            return [messages.error(5, f"Web Push has no key: {error}.", "Correct it, or move the file away. " + hint)]
        return [messages.warning(5, f"Nobody gets Web Push, since there is no key: {error}.", hint)]
    return []


@checks.register("tmtp_notices")
def check_private(**_: Any) -> list[checks.CheckMessage]:
    """W006: the site connects to any address that a browser names."""
    if not conf.PRIVATE_ENDPOINTS or settings.DEBUG:
        return []
    message = "TMTP_NOTICES[“PRIVATE_ENDPOINTS”] lets members make the site connect to programs in its own network."
    return [messages.warning(6, message, "Set it in tests only.")]
