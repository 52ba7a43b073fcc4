"""The language of what a worker writes to a member. TMTP_DELIVERY["LANGUAGE_OF"] knows what the member has chosen."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.utils import translation

from tmtp.conf import import_dotted

from .conf import conf


def in_language_of(account: Any, otherwise: str = "") -> AbstractContextManager[None]:
    """Return a context in which texts are in the language of a member.

    That is the one that they have chosen, or `otherwise`, or the site's (LANGUAGE_CODE), whichever the site has first.
    """
    chosen = import_dotted(conf.LANGUAGE_OF)(account) if conf.LANGUAGE_OF else ""
    return translation.override(_supported(chosen) or _supported(otherwise) or settings.LANGUAGE_CODE)


def _supported(language: str) -> str:
    """Return a language of the site, such as "de" for "de-at", or an empty string."""
    try:
        return translation.get_supported_language_variant(language)
    except LookupError:
        return ""
