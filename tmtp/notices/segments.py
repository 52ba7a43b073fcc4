"""The language of members, as a condition of segments (`tmtp.delivery.segments`): that of their notifications."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tmtp.delivery.segments.kinds import Kind, register

from .models import Preferences


def _language(text: str) -> str:
    """Return the code of a language that the site has."""
    codes = [code for code, _name in settings.LANGUAGES]
    if text.lower() in codes:
        return text.lower()
    raise ValidationError(gettext("The languages are: %(codes)s.") % {"codes": ", ".join(codes)})


def _reads(language: str) -> Q:
    """Members who have never said so count as readers of the site's language."""
    chosen = Preferences.objects.exclude(language="")
    reads = Q(pk__in=chosen.filter(language=language).values("account"))
    return reads | ~Q(pk__in=chosen.values("account")) if language == settings.LANGUAGE_CODE.lower() else reads


def add_language() -> None:
    """Add the condition."""
    register(Kind("language", _("reads the language"), _reads, parse=_language))
