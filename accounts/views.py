"""The pages for members."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Say what this place is."""
    return render(request, "accounts/home.html")


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Where a member goes on who has just signed in: the mailbox, if the site has one."""
    try:
        return HttpResponseRedirect(reverse("tmtp_mailbox:mailbox"))
    except NoReverseMatch:
        return HttpResponseRedirect(reverse("accounts:home"))
