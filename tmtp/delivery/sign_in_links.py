"""Find the mails that a person needs in order to sign in: they must not end behind the sign-in that they are for."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.core.mail import EmailMessage
from django.urls import Resolver404, get_script_prefix, resolve

from .conf import conf

LINK = re.compile(r"""https?://[^\s<>"')\]]+""")


def has_sign_in_link(mail: EmailMessage) -> bool:
    """Return whether the mail links to a view in TMTP_DELIVERY["SIGN_IN_VIEWS"], named with its namespace or without.

    A mail with a code to type, and no link, cannot be told from others: give it the header X-Message-Route: email.
    """
    parts = [mail.body, *(part[0] for part in getattr(mail, "alternatives", None) or [])]
    return any(_names(link) & set(conf.SIGN_IN_VIEWS) for part in parts for link in LINK.findall(str(part)))


def _names(link: str) -> set[str]:
    """Return the names of the view that a link to this site leads to, with its namespace and without."""
    path, prefix = urlsplit(link.rstrip(".,;:!?")).path, get_script_prefix()
    if path.startswith(prefix):
        path = "/" + path[len(prefix) :]
    try:
        view = resolve(path or "/")
    except Resolver404:
        return set()
    return {view.view_name, view.url_name or ""}
