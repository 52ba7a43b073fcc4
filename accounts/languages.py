"""The language of the pages: visitors choose it for their browser, members for themselves.

Django keeps the choice in a cookie. A member's is in the database, too, and in the session, so that it counts in every
browser that they sign in with. `language_of` tells workers, which have no request (TMTP_DELIVERY["LANGUAGE_OF"]).
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from .models import ChosenLanguage

HELD = "language"  # the key in the session


def language_of(user: Any) -> str:
    """Return the language that a member has chosen, or an empty string."""
    return ChosenLanguage.objects.filter(user=user).values_list("language", flat=True).first() or ""


def signed_in(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    """Let the session hold the member's choice (a receiver of user_logged_in)."""
    if language := language_of(user):
        request.session[HELD] = language


def activate(request: HttpRequest) -> None:
    """Let the page be in the language that the session holds."""
    language = request.session.get(HELD)
    if language and translation.check_for_language(language):
        translation.activate(language)
        request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Use this language from now on, if the site has it, and lead back to the page."""
    language = request.POST.get("language", "")
    if request.user.is_authenticated and translation.check_for_language(language):
        ChosenLanguage.objects.update_or_create(user=request.user, defaults={"language": language})
        request.session[HELD] = language
    return set_language(request)
