"""Find the mails that a person needs in order to sign in: they must not end behind the sign-in that they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import Resolver404, get_script_prefix, resolve
from django.utils import translation

from .conf import conf

LINK = re.compile(
    r"""(?P<url>https?://(?:\[[0-9a-f:.]+\])?[\w.~:/?#@!$&*+,;=%-]+)|href\s*=\s*(?:["']\s*)?(?P<path>/[^\s<>"']+)""",
    re.IGNORECASE,
)
_AROUND = ".,;:!?*_~="  # what a sentence, or Markdown, adds to a link
FEW = 20  # languages: a site with translated addresses says which it has; Django's own list is five times as long


def has_sign_in_link(mail: EmailMessage) -> bool:
    """Return whether the mail links to a view in TMTP_DELIVERY["SIGN_IN_VIEWS"], named with its namespace or without.

    Where the site's addresses are translated, the link may be in any of its languages. A mail with a code to type, and
    no link, cannot be told from others: give it the header X-Message-Route: email.
    """
    parts = [mail.body, *(part[0] for part in getattr(mail, "alternatives", None) or [])]
    links = {link["url"] or link["path"] for part in parts for link in LINK.finditer(_text(part))}
    paths = {path for link in links for path in _paths(link)}
    return any(names & set(conf.SIGN_IN_VIEWS) for path in paths for names in _names(path))


def _text(part: object) -> str:
    return unescape(part.decode(errors="replace") if isinstance(part, bytes) else str(part))


def _paths(link: str) -> set[str]:
    """Return the paths within the site that a link may lead to, if it is one of this site."""
    found = set()
    for form in {link, link.rstrip(_AROUND)}:
        try:
            path = unquote(urlsplit(form).path)
        except ValueError:  # no address
            continue
        for prefix in {get_script_prefix(), urlsplit(str(conf.SITE_URL)).path.rstrip("/") + "/"}:
            within = "/" + path[len(prefix) :] if path.startswith(prefix) else path or "/"
            found |= {within} if within.endswith("/") or not settings.APPEND_SLASH else {within, within + "/"}
    return found


def _names(path: str) -> Iterator[set[str]]:
    """Yield the names, with their namespace and without, of the views that a path leads to in the site's languages."""
    for language in _languages(path):
        try:
            with translation.override(language):
                view = resolve(path)
        except Resolver404:
            continue
        yield {view.view_name, view.url_name or ""}


def _languages(path: str) -> list[str]:
    """Return the languages in which a path may have a meaning, the most likely ones first."""
    active, named = translation.get_language() or settings.LANGUAGE_CODE, translation.get_language_from_path(path)
    if not settings.USE_I18N:
        return [active]
    others = [code for code, _name in settings.LANGUAGES] if len(settings.LANGUAGES) <= FEW else []
    some = [named, active, settings.LANGUAGE_CODE, *others]
    return list(dict.fromkeys(filter(None, some)))
