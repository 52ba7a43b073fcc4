"""The settings: one dict `TMTP_API` in the site's settings, with defaults, read when it is used.

Each key is explained in docs/reference/settings.md.
"""

from __future__ import annotations

from typing import Any

from tmtp.conf import Conf

DEFAULTS: dict[str, Any] = {
    "EMAIL_ADDRESSES": None,
    "MAX_REQUEST": 32 * 1024 * 1024,
    "REQUESTS_PER_MINUTE": 300,
}

conf = Conf("TMTP_API", DEFAULTS)
