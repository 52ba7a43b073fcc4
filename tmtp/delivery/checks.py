"""System checks of the settings in TMTP_DELIVERY. Each id is in docs/reference/checks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import DEFAULT_DB_ALIAS
from django.urls import NoReverseMatch, reverse

from tmtp.checks.rules import (
    COUNT,
    DOTTED_PATH,
    DOTTED_PATH_OR_NONE,
    FLAG,
    SECONDS,
    SECONDS_OR_NONE,
    Messages,
    Rule,
    check_settings,
)
from tmtp.conf import import_dotted

from .conf import DEFAULTS, conf
from .email_addresses import allauth_is_installed

OWN_BACKEND = "tmtp.delivery.email.EmailBackend"
messages = Messages("tmtp_delivery")


def _is_site(value: Any) -> bool:
    return value == "" or (_is_address(value) and not urlsplit(value).query)


def _is_address(value: Any) -> bool:
    """Return whether a value is the URL of a host. Python raises ValueError for a host or port that cannot be one."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


SITE = Rule(_is_site, "the beginning of the site's addresses, such as “https://example.org”")
WEBHOOK = Rule(
    lambda value: value == "" or _is_address(value),
    "an address, such as “https://example.org/hook”",
)
SECRET = Rule(
    lambda value: isinstance(value, str) and (value == "" or len(value) >= 32), "a secret of 32 characters or more"
)
ROUTES = Rule(
    lambda value: isinstance(value, str) and value.lower() in ("both", "message", "email"),
    "“both”, “message” or “email”",
)
NAMES = Rule(
    lambda value: isinstance(value, list | tuple | set) and all(isinstance(name, str) for name in value),
    "a list of names of views",
)

FUNCTIONS = Rule(
    lambda value: (
        isinstance(value, dict)
        and all(
            isinstance(name, str) and name.isidentifier() and DOTTED_PATH.fits(path) for name, path in value.items()
        )
    ),
    "a dict of dotted paths by names, such as {“points”: “shop.news.points”}",
)

FALLBACK = Rule(
    lambda value: DOTTED_PATH.fits(value) and value != OWN_BACKEND,
    "a dotted path to a backend that sends e-mail, such as “django.core.mail.backends.smtp.EmailBackend”",
)

RULES: dict[str, Rule] = {
    "SITE_URL": SITE,
    "EMAIL_ROUTE": ROUTES,
    "SIGN_IN_VIEWS": NAMES,
    "EMAIL_ADDRESSES": DOTTED_PATH,
    "LANGUAGE_OF": DOTTED_PATH_OR_NONE,
    "FALLBACK_EMAIL_BACKEND": FALLBACK,
    "HANDLER": DOTTED_PATH_OR_NONE,
    "HANDLER_TRIES": COUNT,
    "HANDLER_BACKOFF": SECONDS,
    "REPORT_HANDLER": DOTTED_PATH_OR_NONE,
    "WEBHOOK_URL": WEBHOOK,
    "WEBHOOK_SECRET": SECRET,
    "BROADCAST_FIELDS": FUNCTIONS,
    "BROADCAST_SEGMENTS": FUNCTIONS,
    "CLAIM_FOR": SECONDS,
    "EXPIRE_AFTER": SECONDS_OR_NONE,
    "EXPIRE_MEMBERS": FLAG,
    "NOTICE_AFTER": SECONDS_OR_NONE,
    "MAILBOX_KEPT": SECONDS_OR_NONE,
    "LARGE_KEPT": SECONDS_OR_NONE,
    "REPORTS_KEPT": SECONDS_OR_NONE,
    "ABUSE_REPORTS_KEPT": SECONDS_OR_NONE,
    "AUDIT_KEPT": SECONDS_OR_NONE,
    "RESULTS_KEPT": SECONDS,
}
# The functions that the object at a dotted path must have.
PATHS = {
    "EMAIL_ADDRESSES": ("users_by_address", "address_by_user"),
    "FALLBACK_EMAIL_BACKEND": ("send_messages",),
    "LANGUAGE_OF": ("__call__",),
    "HANDLER": ("__call__",),
    "REPORT_HANDLER": ("__call__",),
}


@checks.register("tmtp_delivery")
def check_options(**_: Any) -> list[checks.CheckMessage]:
    """Check the dict and each of its values: E001 to E004."""
    found = check_settings("TMTP_DELIVERY", DEFAULTS, RULES, messages)
    given = getattr(settings, "TMTP_DELIVERY", {})
    if isinstance(given, dict):
        for key in PATHS:
            if given.get(key) and RULES[key].fits(given[key]):
                found += _check_path(key, given[key], PATHS[key])
        for key, rule in RULES.items():
            if rule is FUNCTIONS and given.get(key) and rule.fits(given[key]):
                for path in given[key].values():
                    found += _check_path(key, path, ("__call__",))
    return found


def _check_path(key: str, path: str, functions: Sequence[str]) -> Iterable[checks.CheckMessage]:
    """Check that a dotted path can be imported and has all functions (E004)."""
    try:
        target = import_dotted(path)
    except Exception as error:  # whatever the site's module does
        yield messages.error(
            4, f"TMTP_DELIVERY[“{key}”] names “{path}”, which cannot be imported: {error}", "Correct it."
        )
        return
    missing = [name for name in functions if not callable(getattr(target, name, None))]
    if missing:
        lacks = "is no function" if missing == ["__call__"] else f"has no function {', '.join(missing)}"
        yield messages.error(4, f"TMTP_DELIVERY[“{key}”] names “{path}”, which {lacks}.", "Name one that fits.")


@checks.register("tmtp_delivery")
def check_workers(**_: Any) -> list[checks.CheckMessage]:
    """Check that django-q2 is installed (E005). `tmtp.checks.workers` checks its settings."""
    if apps.is_installed("django_q"):
        return []
    hint = 'pip install "mnm-django[delivery]", add "django_q" to INSTALLED_APPS, and run manage.py migrate.'
    return [messages.error(5, "tmtp.delivery needs django-q2.", hint)]


@checks.register("tmtp_delivery")
def check_pool(**_: Any) -> list[checks.CheckMessage]:
    """Warn of pools: workers are forked, and each then has one of its own (W002; `tmtp.delivery.workers`)."""
    pool = (settings.DATABASES.get(DEFAULT_DB_ALIAS, {}).get("OPTIONS") or {}).get("pool")
    if not pool or not apps.is_installed("django_q"):
        return []
    message = "Each process of qcluster opens a pool of connections of its own."
    hint = (
        'Run qcluster with settings without DATABASES["default"]["OPTIONS"]["pool"]: a worker uses one connection. Or '
        "allow PostgreSQL as many connections as all pools together may open, and silence tmtp_delivery.W002."
    )
    return [messages.warning(2, message, hint)]


@checks.register("tmtp_delivery")
def check_email(**_: Any) -> list[checks.CheckMessage]:
    """Check that the e-mail backend knows the addresses of members (W001)."""
    is_known = DEFAULTS["EMAIL_ADDRESSES"] != conf.EMAIL_ADDRESSES or allauth_is_installed()
    if is_known or not _own_backend_is_used():
        return []
    return [
        messages.warning(
            1,
            "No mail becomes a message: nobody is known to have confirmed an e-mail address.",
            "Set TMTP_DELIVERY[“EMAIL_ADDRESSES”] to the module that knows them, or install django-allauth.",
        )
    ]


@checks.register("tmtp_delivery")
def check_notices(**_: Any) -> list[checks.CheckMessage]:
    """Check that links in notices lead somewhere (E006)."""
    if not isinstance(getattr(settings, "TMTP_DELIVERY", {}), dict) or conf.NOTICE_AFTER is None:
        return []
    if not conf.SITE_URL:
        return [
            messages.error(
                6, "Notices by e-mail need TMTP_DELIVERY[“SITE_URL”].", "Set it, such as “https://example.org”."
            )
        ]
    try:
        reverse("tmtp_delivery:no_notices", args=["token"])
    except NoReverseMatch:
        hint = 'Add path("delivery/", include("tmtp.delivery.urls")) to the site\'s urlpatterns.'
        return [messages.error(6, "Notices by e-mail need the pages of tmtp.delivery.", hint)]
    return []


@checks.register("tmtp_delivery")
def check_webhook(**_: Any) -> list[checks.CheckMessage]:
    """Check that the webhook has an address and a secret (E007)."""
    is_used = "tmtp.delivery.inbound.webhook.post" in (conf.HANDLER, conf.REPORT_HANDLER)
    if not is_used or (conf.WEBHOOK_URL and conf.WEBHOOK_SECRET):
        return []
    hint = "Set TMTP_DELIVERY[“WEBHOOK_URL”] and TMTP_DELIVERY[“WEBHOOK_SECRET”]."
    return [messages.error(7, "The webhook needs an address and a secret.", hint)]


def _own_backend_is_used() -> bool:
    """Return whether mail goes through our backend, by MAILERS (Django 6.1 and later) or by EMAIL_BACKEND."""
    if hasattr(settings, "MAILERS"):
        return any(mailer.get("BACKEND") == OWN_BACKEND for mailer in settings.MAILERS.values())
    given = settings.is_overridden("EMAIL_BACKEND")  # type: ignore[misc]
    return bool(given and settings.EMAIL_BACKEND == OWN_BACKEND)
