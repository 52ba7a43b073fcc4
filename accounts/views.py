"""The home page, and where members and staff go to sign in, and afterwards."""

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/home.html")


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Redirect a member who has just signed in to the mailbox, or to the home page if there is no mailbox."""
    try:
        return HttpResponseRedirect(reverse("tmtp_mailbox:mailbox"))
    except NoReverseMatch:
        return HttpResponseRedirect(reverse("accounts:home"))


def admin_password_change(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Redirect staff to the page of all members."""
    return HttpResponseRedirect(reverse("accounts:password_change"))


def admin_login(request: HttpRequest) -> HttpResponse:
    """Redirect staff to the sign-in of all members. Refuse members who are signed in: they are not staff."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"), resolve_url(settings.LOGIN_URL))
