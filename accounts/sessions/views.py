"""The page with a member's sessions, and the buttons to end them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tmtp.web.decorators import member_page

from ..models import Browser
from . import browsers
from .description import name_of, place_of


@member_page("GET")
def sessions(request: HttpRequest) -> HttpResponse:
    """List the browsers in which the member is signed in, this one first."""
    found = browsers.browsers_of(request.user)
    rows = [
        {
            "browser": browser,
            "name": name_of(browser.agent),
            "place": place_of(browser.address),
            "here": browser.session_key == request.session.session_key,
        }
        for browser in found
    ]
    rows.sort(key=lambda row: not row["here"])
    return render(request, "accounts/sessions.html", {"rows": rows})


@member_page("POST")
def session_end(request: HttpRequest, pk: int) -> HttpResponse:
    """End one session of the member, but not this one: that is what signing out is for."""
    others = Browser.objects.exclude(session_key=request.session.session_key)
    browsers.end(get_object_or_404(others, pk=pk, user=request.user))
    messages.success(request, _("Session ended."))
    return redirect("accounts:sessions")


@member_page("POST")
def sessions_end(request: HttpRequest) -> HttpResponse:
    """End all other sessions of the member."""
    count = browsers.end_others(request)
    text = ngettext("%(count)s other session ended.", "%(count)s other sessions ended.", count)
    messages.success(request, text % {"count": count})
    return redirect("accounts:sessions")
