"""Template tags of the site's pages."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

register = template.Library()

# what leads where; a page that a site leaves out of its urls has no entry
FOR_MEMBERS = (
    ("accounts:mailbox", _("Mailbox")),
    ("accounts:devices", _("Devices")),
    ("accounts:groups", _("Groups")),
    ("accounts:account", _("Account")),
)
FOR_VISITORS = (
    ("accounts:sign_in", _("Sign in")),
    ("accounts:sign_up", _("Sign up")),
)


@dataclass(frozen=True)
class Entry:
    """A link of the main navigation; `here`: the page shown is that one or below it."""

    url: str
    label: str | Promise
    here: bool


@register.simple_tag(takes_context=True)
def navigation(context: dict[str, Any]) -> list[Entry]:
    """The main navigation for who is looking: a member or a visitor. An error page without a request has none."""
    request = context.get("request")
    if request is None:
        return []
    user = getattr(request, "user", None)
    entries = []
    for name, label in FOR_MEMBERS if user is not None and user.is_authenticated else FOR_VISITORS:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        entries.append(Entry(url, label, request.path.startswith(url)))
    return entries
