"""The settings: one dict `TMTP_NOTICES` in the site's settings, with defaults, read when it is used.

Each key is explained in docs/reference/settings.md.
"""

from __future__ import annotations

from typing import Any

from tmtp.conf import Conf

DEFAULTS: dict[str, Any] = {
    "VAPID_KEY": None,
    "CONTACT": "",
    "PUSH_TTL": 86400,
    "PRIVATE_ENDPOINTS": False,
    "SHOW_SENDER": True,
    "DIGEST_HOUR": 8,
    "THEME_COLOR": "#0b5a8a",
    "BACKGROUND_COLOR": "#ffffff",
}

conf = Conf("TMTP_NOTICES", DEFAULTS)
