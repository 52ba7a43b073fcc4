"""The settings of tmtp: the dict `TMTP` in the site's settings, over the defaults below.

    from tmtp.conf import conf
    conf.WINDOW

A setting is read each time it is used. docs/reference/settings.md explains each key.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

DEFAULTS: dict[str, Any] = {
    # the service and where it listens
    "SITE_NAME": "mnm",
    "SITE_ALIAS": "",
    "BASE_TEMPLATE": "tmtp/base.html",
    "BIND": "127.0.0.1:7443",
    "PUBLIC_ADDRESS": "",
    "PROXIES": [],
    "CERT": None,
    "KEY": None,
    "SPOOL_DIR": None,
    "SPOOL_STORAGE": "",
    "SPOOL_CACHE": 2**30,
    "NTP": {},
    "METRICS": "",
    "METRICS_TOKEN": "",
    # who may register and log in
    "OPEN_REGISTRATION": True,
    "OPENID": {"auth": 0, "authby": []},
    "OPENID_MAX_AGE": 30 * 86400,
    "INVITED_MAY_POST": True,
    "MEMBERS_MAY_BAR": True,
    "ABUSE_REPORTS_TO": [],
    "CONFIRMATION": "tmtp.web.confirmation.by_signing_in",
    "DELETION_AFTER": 7 * 86400,
    # delivery
    "WINDOW": 4,
    "RESEND_AFTER": 30,
    "POLL": 0.25,
    # timeouts, in seconds
    "LOGIN_TIMEOUT": 5,
    "DRAIN": 120,
    "IDLE_TIMEOUT": 120,
    "WRITE_TIMEOUT": 30,
    "STORE_PATIENCE": 10,
    "PROCESS_TIMEOUT": 15,
    # limits
    "MAX_BODY": 4 * 2**30,
    "MIN_FREE": 256 * 2**20,
    "DRAFTS_KEPT": 90 * 86400,
    "LIMITS": {},
}

DEFAULT_NTP: dict[str, Any] = {"HOSTS": [], "RETRIES": 4}
NTP_PORT = 123

DEFAULT_LIMITS: dict[str, int] = {
    "links": 50_000,
    "links_per_address": 1000,
    "links_per_network": 1000,  # a /64 of IPv6
    "registrations_per_address": 600,  # per hour
    "failed_logins_per_address": 600,  # per hour
    "failed_logins_per_user": 60,  # per hour
    "requests_per_user": 36_000,  # per hour
    "recipients_per_user": 1_000_000,  # per hour
    "recipients_per_post": 1000,
    "messages_per_user": 200_000,  # per day
    "octets_per_user": 50 * 2**30,  # per day
    "pings_per_user": 2000,  # per day
    "pings_per_pair": 100,  # per day
    "pings_per_stranger": 20,  # per day
    "pings_to_user": 2000,  # per day
    "uploads_per_user": 8,
    "upload_octets_per_user": 8 * 2**30,
    "upload_octets_per_second": 500,  # at least
    "nodes_per_user": 100,
    "aliases_per_user": 100,
    "abuse_reports_per_user": 20,  # per day
    "exports_per_user": 10,  # per day
    "drafts_per_user": 100,
    "draft_octets_per_user": 2**30,
    "waiting_per_node": 1_000_000,
    "waiting_octets_per_node": 16 * 2**30,
    "groups_per_user": 1000,
    "members_per_group": 20_000,
    "group_changes_per_user": 1000,  # per day
    "group_changes_per_member": 30,  # per day
    "contacts_per_user": 5000,
}


def parse_address(text: str, port_in_example: int = 7443) -> tuple[str, int]:
    """Return the host and port of HOST:PORT, where an IPv6 host is in brackets. Raise ValueError for other text."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    right = _is_host(bare) and (":" in bare) == host.startswith("[")
    if not right or not port.isdecimal() or int(port) > 65535:
        example = f"127.0.0.1:{port_in_example} or [::]:{port_in_example}"
        raise ValueError(f"“{text}” is not HOST:PORT, such as {example}")
    return bare, int(port)


def _is_host(text: str) -> bool:
    """Return whether a text can be looked up: Python raises UnicodeError for an empty or a very long label."""
    try:
        return bool(text.encode("idna")) and "\0" not in text
    except UnicodeError:
        return False


def ntp_address(text: str) -> tuple[str, int]:
    """Return the host and port of an NTP server: HOST or HOST:PORT. Raise ValueError for other text."""
    try:
        return parse_address(text)
    except ValueError:
        return parse_address(f"{text}:{NTP_PORT}", NTP_PORT)


def format_address(host: str, port: int) -> str:
    """Return HOST:PORT, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Conf:
    """Attribute access to a dict in the site's settings, with defaults for the keys that it does not have."""

    def __init__(self, setting: str, defaults: dict[str, Any]) -> None:
        self._setting = setting
        self._defaults = defaults

    def __getattr__(self, name: str) -> Any:
        if name not in self._defaults:
            raise AttributeError(f"{self._setting} has no setting {name}")
        given = getattr(settings, self._setting, {})
        # A system check reports what is not a dict.
        return given.get(name, self._defaults[name]) if isinstance(given, dict) else self._defaults[name]


class TmtpConf(Conf):
    """The settings in `TMTP`."""

    @property
    def site_alias(self) -> str:
        """Return the site's own alias: SITE_ALIAS, or SITE_NAME followed by "website"."""
        return str(self.SITE_ALIAS or f"{self.SITE_NAME} website")

    @property
    def spool_dir(self) -> Path:
        """Return the folder for large bodies: SPOOL_DIR, or `tmtp-spool` in BASE_DIR."""
        configured = self.SPOOL_DIR or Path(getattr(settings, "BASE_DIR", ".")) / "tmtp-spool"
        return Path(configured)

    @property
    def ntp(self) -> tuple[list[str], int]:
        """Return the NTP servers to compare the clock with, and how many more times to ask them if none answers."""
        given = {**DEFAULT_NTP, **self.NTP}
        return list(given["HOSTS"]), int(given["RETRIES"])

    def limit(self, name: str) -> int | None:
        """Return a limit from LIMITS, or None if it is lifted (LIMITS = None lifts them all)."""
        limits = self.LIMITS
        if limits is None:
            return None
        value: int | None = limits.get(name, DEFAULT_LIMITS[name])
        return value

    def address(self, bind: str | None = None) -> tuple[str, int]:
        """Return the host and port of `bind`, or of BIND. Raise ImproperlyConfigured unless it is HOST:PORT."""
        try:
            return parse_address(str(bind or self.BIND))
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None


conf = TmtpConf("TMTP", DEFAULTS)


def import_dotted(path: str) -> Any:
    """Return the module, or the object in a module, that a dotted path names. Raise ImportError."""
    try:
        return import_string(path)
    except ImportError:
        return import_module(path)
