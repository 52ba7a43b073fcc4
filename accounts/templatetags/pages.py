"""Template tags of the site's pages."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tmtp.mailbox.unread import UNREAD_MAX, unread
from tmtp.openid.providers import Provider

from ..openid.client import providers

register = template.Library()

MAILBOX = _("Mailbox")
ACCOUNT = _("Account")
# The pages of each navigation. Pages that the site's URLs leave out are not shown.
FOR_MEMBERS = (
    ("tmtp_mailbox:mailbox", MAILBOX),
    ("tmtp_pages:devices", _("Devices")),
    ("tmtp_pages:groups", _("Groups")),
    ("accounts:account", ACCOUNT),
)
FOR_VISITORS = (
    ("accounts:sign_in", _("Sign in")),
    ("accounts:sign_up", _("Sign up")),
)
OF_AN_ACCOUNT = (
    ("accounts:account", _("Sign-in")),
    ("accounts:second_factor", _("Second factor")),
    ("accounts:sessions", _("Sessions")),
    ("tmtp_pages:aliases", _("Names")),
    ("tmtp_pages:presence", _("Visibility")),
    ("tmtp_pages:blocked", _("Blocked")),
    ("tmtp_notices:preferences", _("Notifications")),
    ("tmtp_pages:data", _("Data")),
)


@dataclass(frozen=True)
class Entry:
    """A link of a navigation. `here` is whether it leads to the current page or, in the main navigation, above it.

    `count` is the number of threads with new messages, for the mailbox.
    """

    url: str
    label: str | Promise
    here: bool
    count: str = ""


@register.simple_tag(takes_context=True)
def navigation(context: dict[str, Any]) -> list[Entry]:
    """Return the main navigation for a member or a visitor; empty on an error page without a request."""
    request = context.get("request")
    if request is None:
        return []
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return [Entry(url, label, request.path.startswith(url)) for url, label in _there(FOR_VISITORS)]
    tabs = tuple(url for url, _label in _there(OF_AN_ACCOUNT))
    entries = [
        Entry(url, label, request.path.startswith(tabs if label == ACCOUNT else url))
        for url, label in _there(FOR_MEMBERS)
    ]
    number = context.get("unread")  # of a page of the mailbox, which has counted
    count = _shown(unread(user) if number is None else number)
    return [replace(entry, count=count) if entry.label == MAILBOX else entry for entry in entries]


def _shown(number: int) -> str:
    return f"{UNREAD_MAX}+" if number > UNREAD_MAX else str(number or "")


@register.simple_tag
def sign_in_providers() -> list[Provider]:
    """Return the OpenID Connect providers with which members can sign in."""
    return list(providers().values())


@register.simple_tag(takes_context=True)
def account_tabs(context: dict[str, Any]) -> list[Entry]:
    """Return the navigation of the pages about a member's own account."""
    return [Entry(url, label, context["request"].path == url) for url, label in _there(OF_AN_ACCOUNT)]


def _there(names: Iterable[tuple[str, str | Promise]]) -> Iterator[tuple[str, str | Promise]]:
    """Yield (url, label) of those pages that the site's URLs include."""
    for name, label in names:
        with contextlib.suppress(NoReverseMatch):
            yield reverse(name), label
