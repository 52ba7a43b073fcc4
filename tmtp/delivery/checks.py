"""System checks of the settings in TMTP_DELIVERY. Each id is in docs/reference/checks.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.urls import NoReverseMatch, reverse

from .addresses import allauth_is_installed, import_dotted
from .conf import DEFAULTS, conf

OWN_BACKEND = "tmtp.delivery.email.EmailBackend"
Rule = tuple[Callable[[Any], bool], str]  # what a value must be, as a test and in words


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_site(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    parts = urlsplit(value)
    return not value or (parts.scheme in ("http", "https") and bool(parts.netloc) and not parts.query)


SECONDS: Rule = (_is_number, "a number of seconds above 0")
SECONDS_OR_NONE: Rule = (lambda value: value is None or _is_number(value), "a number of seconds above 0, or None")
FLAG: Rule = (lambda value: isinstance(value, bool), "True or False")
SITE: Rule = (_is_site, "the beginning of the site's addresses, such as “https://example.org”")
COUNT: Rule = (
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1,
    "a whole number, 1 or more",
)
PATH: Rule = (lambda value: isinstance(value, str) and bool(value), "a dotted path, such as “shop.mail.Backend”")
PATH_OR_NONE: Rule = (lambda value: value is None or PATH[0](value), "a dotted path, or None")

ROUTES: Rule = (
    lambda value: isinstance(value, str) and value.lower() in ("both", "message", "email"),
    "“both”, “message” or “email”",
)
NAMES: Rule = (
    lambda value: isinstance(value, list | tuple | set) and all(isinstance(name, str) for name in value),
    "a list of names of views",
)

FALLBACK: Rule = (
    lambda value: PATH[0](value) and value != OWN_BACKEND,
    "a dotted path to a backend that sends e-mail, such as “django.core.mail.backends.smtp.EmailBackend”",
)

RULES: dict[str, Rule] = {
    "SITE_URL": SITE,
    "EMAIL_ROUTE": ROUTES,
    "SIGN_IN_VIEWS": NAMES,
    "ADDRESSES": PATH,
    "FALLBACK_EMAIL_BACKEND": FALLBACK,
    "HANDLER": PATH_OR_NONE,
    "HANDLER_TRIES": COUNT,
    "HANDLER_BACKOFF": SECONDS,
    "CLAIM_FOR": SECONDS,
    "EXPIRE_AFTER": SECONDS_OR_NONE,
    "EXPIRE_MEMBERS": FLAG,
    "NOTICE_AFTER": SECONDS_OR_NONE,
    "REPORTS_KEPT": SECONDS_OR_NONE,
    "RESULTS_KEPT": SECONDS,
}
# What a dotted path must lead to: the names of functions that are to be there.
PATHS = {
    "ADDRESSES": ("users_by_address", "address_by_user"),
    "FALLBACK_EMAIL_BACKEND": ("send_messages",),
    "HANDLER": ("__call__",),
}


@checks.register("tmtp_delivery")
def check_options(**_: Any) -> list[checks.CheckMessage]:
    """E001 to E004."""
    given = getattr(settings, "TMTP_DELIVERY", {})
    if not isinstance(given, dict):
        return [_error(1, "TMTP_DELIVERY is not a dict.", 'Write it as TMTP_DELIVERY = {"SITE_URL": ..., ...}.')]
    found = [_error(2, f"TMTP_DELIVERY has no setting “{key}”.", _meant(key)) for key in given if key not in DEFAULTS]
    wrong = [key for key, (fits, _words) in RULES.items() if key in given and not fits(given[key])]
    for key in wrong:
        hint = f"Make it {RULES[key][1]}, or leave it out."
        found.append(_error(3, f"TMTP_DELIVERY[“{key}”] is {given[key]!r}.", hint))
    return found + [error for key in PATHS if given.get(key) and key not in wrong for error in _lead(key, given[key])]


def _lead(key: str, path: str) -> Iterable[checks.CheckMessage]:
    """E004 when the dotted path does not lead to what it must."""
    try:
        target = import_dotted(path)
    except Exception as error:  # whatever the site's module does
        yield _error(4, f"TMTP_DELIVERY[“{key}”] names “{path}”, which cannot be imported: {error}", "Correct it.")
        return
    missing = [name for name in PATHS[key] if not callable(getattr(target, name, None))]
    if missing:
        lacks = "is no function" if missing == ["__call__"] else f"has no function {', '.join(missing)}"
        yield _error(4, f"TMTP_DELIVERY[“{key}”] names “{path}”, which {lacks}.", "Name one that fits.")


@checks.register("tmtp_delivery")
def check_workers(**_: Any) -> list[checks.CheckMessage]:
    """E005. (tmtp.W012 says whether `timeout` and `retry` of django-q2 fit.)"""
    if apps.is_installed("django_q"):
        return []
    return [_error(5, "delivery needs django-q2.", 'Add "django_q" to INSTALLED_APPS, and run manage.py migrate.')]


@checks.register("tmtp_delivery")
def check_email(**_: Any) -> list[checks.CheckMessage]:
    """E007 and W001: what the e-mail backend needs."""
    if not _own_backend_is_used():
        return []
    found: list[checks.CheckMessage] = []
    if not find_spec("markdownify"):
        found.append(_error(7, "The e-mail backend needs markdownify.", 'pip install "markdownify>=1.1,<2"'))
    if DEFAULTS["ADDRESSES"] == conf.ADDRESSES and not allauth_is_installed():
        found.append(
            checks.Warning(
                "No mail becomes a message: nobody is known to have confirmed an e-mail address.",
                hint="Name who knows the addresses in TMTP_DELIVERY[“ADDRESSES”], or install django-allauth.",
                id="tmtp_delivery.W001",
            )
        )
    return found


@checks.register("tmtp_delivery")
def check_notices(**_: Any) -> list[checks.CheckMessage]:
    """E006: what a notice's links need."""
    if not isinstance(getattr(settings, "TMTP_DELIVERY", {}), dict) or conf.NOTICE_AFTER is None:
        return []
    if not conf.SITE_URL:
        return [
            _error(6, "Notices by e-mail need TMTP_DELIVERY[“SITE_URL”].", "Set it, such as “https://example.org”.")
        ]
    try:
        reverse("tmtp_delivery:no_notices", args=["token"])
    except NoReverseMatch:
        hint = 'Add path("delivery/", include("tmtp.delivery.urls")) to the site\'s urlpatterns.'
        return [_error(6, "Notices by e-mail need the pages of delivery.", hint)]
    return []


def _own_backend_is_used() -> bool:
    """Return whether mail goes through our backend, by MAILERS (Django 6.1 and later) or by EMAIL_BACKEND."""
    if hasattr(settings, "MAILERS"):
        return any(mailer.get("BACKEND") == OWN_BACKEND for mailer in settings.MAILERS.values())
    return bool(settings.is_overridden("EMAIL_BACKEND") and settings.EMAIL_BACKEND == OWN_BACKEND)


def _meant(key: Any) -> str:
    """What was probably meant, or all there is."""
    names = sorted(DEFAULTS)
    close = get_close_matches(str(key).upper(), names, n=1)
    return f"Did you mean “{close[0]}”?" if close else f"Remove it, or use one of: {', '.join(names)}."


def _error(number: int, message: str, hint: str) -> checks.Error:
    return checks.Error(message, hint=hint, id=f"tmtp_delivery.E{number:03}")
