"""The settings: one dict `TMTP` in the site's settings, with defaults, read when it is used.

    from tmtp.conf import conf
    conf.WINDOW

Each key is explained in docs/reference/settings.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DEFAULTS: dict[str, Any] = {
    # what is served, and where
    "SITE_NAME": "mnm",
    "SITE_ALIAS": "",
    "BIND": "127.0.0.1:7443",
    "PUBLIC_ADDRESS": "",
    "CERT": None,
    "KEY": None,
    "SPOOL_DIR": None,
    # who may come in
    "OPEN_REGISTRATION": True,
    "OPENID": {"auth": 0, "authby": []},
    "OPENID_MAX_AGE": 30 * 86400,
    "INVITED_MAY_POST": True,
    # delivery
    "WINDOW": 4,
    "RESEND_AFTER": 30,
    "POLL": 0.25,
    # patience, in seconds
    "LOGIN_TIMEOUT": 5,
    "IDLE_TIMEOUT": 120,
    "WRITE_TIMEOUT": 30,
    "STORE_PATIENCE": 10,
    # limits
    "MAX_BODY": 4 * 2**30,
    "LIMITS": {},
}

DEFAULT_LIMITS: dict[str, int] = {
    "links_per_address": 1000,
    "registrations_per_address": 600,  # per hour
    "failed_logins_per_address": 600,  # per hour
    "requests_per_user": 36_000,  # per hour
    "waiting_per_node": 1_000_000,
    "groups_per_user": 1000,
    "members_per_group": 20_000,
}


class Conf:
    """Attribute access to `settings.TMTP` over the defaults."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"TMTP has no setting {name}")
        given = getattr(settings, "TMTP", {})
        return given.get(name, DEFAULTS[name]) if isinstance(given, dict) else DEFAULTS[name]  # else tmtp.E001

    @property
    def site_alias(self) -> str:
        """The alias of the site itself: SITE_ALIAS, or its name and “website”."""
        return str(self.SITE_ALIAS or f"{self.SITE_NAME} website")

    @property
    def spool_dir(self) -> Path:
        """The folder of large bodies: SPOOL_DIR, or `tmtp-spool` beside the site's code."""
        configured = self.SPOOL_DIR or Path(getattr(settings, "BASE_DIR", ".")) / "tmtp-spool"
        return Path(configured)

    def limit(self, name: str) -> int | None:
        """A limit from LIMITS; None when it is lifted (LIMITS=None lifts all, a limit of None that one)."""
        limits = self.LIMITS
        if limits is None:
            return None
        value: int | None = limits.get(name, DEFAULT_LIMITS[name])
        return value

    def address(self, bind: str | None = None) -> tuple[str, int]:
        """HOST:PORT (an IPv6 host in brackets) as a pair; raises ImproperlyConfigured when it is not that."""
        text = bind or self.BIND
        host, _, port = str(text).rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not bare or (":" in bare) != host.startswith("[") or not port.isdecimal() or int(port) > 65535:
            raise ImproperlyConfigured(f"“{text}” is not HOST:PORT, such as 127.0.0.1:7443 or [::]:7443")
        return bare, int(port)


conf = Conf()
