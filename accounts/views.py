"""The home page, and where members go after signing in."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/home.html")


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Redirect a member who has just signed in to the mailbox, or to the home page if there is no mailbox."""
    try:
        return HttpResponseRedirect(reverse("tmtp_mailbox:mailbox"))
    except NoReverseMatch:
        return HttpResponseRedirect(reverse("accounts:home"))
