"""System checks of the settings in TMTP_API. Each id is in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.urls import NoReverseMatch, reverse

from tmtp.checks.rules import COUNT, DOTTED_PATH_OR_NONE, Messages, Rule, check_settings, is_whole
from tmtp.conf import import_dotted

from .conf import DEFAULTS, conf

messages = Messages("tmtp_api")
RULES: dict[str, Rule] = {
    "EMAIL_ADDRESSES": DOTTED_PATH_OR_NONE,
    "MAX_REQUEST": COUNT,
    "REQUESTS_PER_MINUTE": Rule(
        lambda value: value is None or (is_whole(value) and value > 0), "a whole number above 0, or None"
    ),
}


@checks.register("tmtp_api")
def check_options(**_: Any) -> list[checks.CheckMessage]:
    """E001 to E003."""
    return check_settings("TMTP_API", DEFAULTS, RULES, messages)


@checks.register("tmtp_api")
def check_addresses(**_: Any) -> list[checks.CheckMessage]:
    """E004: what knows the e-mail addresses cannot be imported, or lacks the function."""
    if not conf.EMAIL_ADDRESSES or not DOTTED_PATH_OR_NONE.fits(conf.EMAIL_ADDRESSES):
        return []
    try:
        import_dotted(conf.EMAIL_ADDRESSES).users_by_address  # noqa: B018 - that it is there
    except Exception as error:  # whatever the site's module does
        hint = "Name a module or class with a function users_by_address, such as that of TMTP_DELIVERY, or None."
        return [messages.error(4, f"TMTP_API[“EMAIL_ADDRESSES”] cannot be used: {error}.", hint)]
    return []


@checks.register("tmtp_api")
def check_pages(**_: Any) -> list[checks.CheckMessage]:
    """W001: the API has no addresses."""
    try:
        reverse("tmtp_api:reference")
    except NoReverseMatch:
        hint = 'Add path("api/", include("tmtp.api.urls")) to your urlpatterns.'
        return [messages.warning(1, "The API has no addresses.", hint)]
    return []
