"""Sign a member in after the first step, a password or a provider; with the second factor, if they have one.

Until the second step is done, nobody is signed in: the session only says who has done the first one.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.crypto import constant_time_compare

from . import factors

BACKEND = "accounts.usernames.MemberBackend"
PENDING = "second_factor_pending"  # the key in the session of a first step
PENDING_LIFE = 600  # seconds
CONFIRMED = "confirmed_at"  # the key in the session: when the member last showed who they are
RECENT = 600  # seconds for which that is enough to change the factors


def first_step_done(request: HttpRequest, user: Any, next: str) -> HttpResponse:
    """Sign the member in and redirect to `next`, or ask for their second factor first."""
    if not factors.has_one(user):
        login(request, user, BACKEND)
        return HttpResponseRedirect(next)
    request.session[PENDING] = {
        "user": str(user.pk),
        "hash": user.get_session_auth_hash(),
        "next": next,
        "at": time.time(),
    }
    request.session.cycle_key()
    return redirect("accounts:sign_in_code")


def pending_user(request: HttpRequest) -> Any:
    """Return the member who has done the first step and has the same password still, or None. It holds for a time."""
    held = request.session.get(PENDING)
    if not held or time.time() - held["at"] > PENDING_LIFE:
        return None
    user = get_user_model().objects.filter(pk=held["user"], is_active=True).first()
    return user if user and constant_time_compare(user.get_session_auth_hash(), held["hash"]) else None


def second_step_done(request: HttpRequest, user: Any) -> HttpResponse:
    """Sign the member in, and redirect to where they wanted to go."""
    next = request.session.pop(PENDING)["next"]
    login(request, user, BACKEND)
    return HttpResponseRedirect(next)


def note_confirmed(request: HttpRequest) -> None:
    """Note that the member has just shown who they are."""
    request.session[CONFIRMED] = time.time()


def is_confirmed(request: HttpRequest) -> bool:
    """Return whether the member has shown a moment ago who they are."""
    return bool(time.time() - request.session.get(CONFIRMED, 0) < RECENT)


def signed_in(sender: Any, request: HttpRequest, **options: Any) -> None:
    """Receive Django's signal that a member has signed in."""
    note_confirmed(request)
