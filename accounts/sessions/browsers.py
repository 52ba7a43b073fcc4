"""Remember in which browsers a member is signed in, and end their sessions.

A browser is remembered when its member signs in, and forgotten when they sign out. The session itself holds when that
was last written down, so that most requests cost no query.
"""

from __future__ import annotations

import contextlib
import ipaddress
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from ..models import Browser

HELD = "browser"  # the key in the session: the key of the session when it was written down, and when that was
EVERY = 300  # seconds between two notes of when a browser was last used
AGENT_MAX = 300
KEY_MAX = 40


def store(key: str) -> SessionBase:
    """Return the session of this key, in whatever the site keeps sessions (SESSION_ENGINE)."""
    session: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return session


def remember(request: HttpRequest, user: Any) -> None:
    """Write down that the member, who is signed in, uses this browser, unless that was done a moment ago."""
    session, now = request.session, timezone.now()
    before = session.get(HELD) or {"key": session.session_key, "at": 0}
    if before["key"] == session.session_key and now.timestamp() - before["at"] < EVERY:
        return
    if session.session_key is None:
        session.save()  # a new session gets its key
    if len(session.session_key or "") > KEY_MAX:
        return  # a session in a cookie (SESSION_ENGINE), which nobody can end
    values = {
        "user": user,
        "agent": request.headers.get("User-Agent", "").replace("\0", "")[:AGENT_MAX],
        "address": address_of(request),
        "used": now,
    }
    if before["key"] and before["key"] != session.session_key:
        _rename(before["key"], session.session_key)
    row = Browser(session_key=session.session_key, **values)
    Browser.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["session_key"], update_fields=list(values)
    )
    session[HELD] = {"key": session.session_key, "at": now.timestamp()}


def _rename(before: str, now: str | None) -> None:
    """Note that a session has a new key: its member has changed the password."""
    with contextlib.suppress(IntegrityError), transaction.atomic():  # another request has noted it a moment ago
        Browser.objects.filter(session_key=before).update(session_key=now)


def address_of(request: HttpRequest) -> str | None:
    """Return the IP address of a request, without a zone of IPv6, or None if the web server does not say."""
    try:
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]))
    except ValueError:
        return None


def signed_in(sender: Any, request: HttpRequest, user: Any, **options: Any) -> None:
    """Receive Django's signal that a member has signed in. Forget browsers whose sessions have ended by themselves."""
    oldest = timezone.now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)
    Browser.objects.filter(used__lt=oldest).delete()
    request.session.pop(HELD, None)
    remember(request, user)


def signed_out(sender: Any, request: HttpRequest, **options: Any) -> None:
    """Receive Django's signal that a member signs out."""
    Browser.objects.filter(session_key=request.session.session_key).delete()


def account_deleted(sender: Any, instance: Any, **options: Any) -> None:
    """Receive Django's signal that an account is about to be deleted: its sessions end."""
    end_these(Browser.objects.filter(user=instance))


def browsers_of(user: Any) -> list[Browser]:
    """Return the browsers in which the member is signed in, last used first. Forget those whose session has ended."""
    hashes = {user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()}
    there = []
    for browser in Browser.objects.filter(user=user).order_by("-used"):
        held = store(browser.session_key).load()
        if held.get(SESSION_KEY) == str(user.pk) and held.get(HASH_SESSION_KEY) in hashes:
            there.append(browser)
        else:
            browser.delete()
    return there


def end(browser: Browser) -> None:
    """End a session: the browser is signed out at its next request."""
    store(browser.session_key).delete()
    browser.delete()


def end_others(request: HttpRequest) -> int:
    """End all sessions of the member but this one, and return how many."""
    others = Browser.objects.filter(user=request.user).exclude(session_key=request.session.session_key)
    return end_these(others)


def end_these(browsers: Any) -> int:
    """End sessions, and return how many."""
    found = list(browsers)
    for browser in found:
        end(browser)
    return len(found)
