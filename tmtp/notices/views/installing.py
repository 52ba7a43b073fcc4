"""What makes the site installable: its manifest, its service worker, and the page for when there is no connection."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import get_script_prefix, reverse
from django.utils.safestring import SafeString
from django.utils.translation import get_language, get_language_bidi
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from tmtp.conf import conf as tmtp_conf

from ..conf import conf

ICONS = (("icon-192", "192x192", "any"), ("icon-512", "512x512", "any"), ("maskable-512", "512x512", "maskable"))
SHORT_MAX = 12  # characters that fit under an icon


@require_safe
@cache_control(max_age=3600)
def manifest(request: HttpRequest) -> HttpResponse:
    """Return the manifest (https://www.w3.org/TR/appmanifest/)."""
    name = str(tmtp_conf.SITE_NAME)
    start = reverse("tmtp_mailbox:mailbox")
    members: dict[str, Any] = {
        "id": start,
        "name": name,
        "short_name": name if len(name) <= SHORT_MAX else name.split()[0][:SHORT_MAX],
        "lang": get_language() or "en",
        "dir": "rtl" if get_language_bidi() else "ltr",
        "start_url": start,
        "scope": get_script_prefix(),
        "display": "standalone",
        "theme_color": conf.THEME_COLOR,
        "background_color": conf.BACKGROUND_COLOR,
        "icons": [
            {"src": icon(file), "sizes": sizes, "type": "image/png", "purpose": purpose}
            for file, sizes, purpose in ICONS
        ],
    }
    return JsonResponse(members, content_type="application/manifest+json")


@require_safe
@cache_control(no_cache=True)
def worker(request: HttpRequest) -> HttpResponse:
    """Return the service worker. It keeps the offline page and its files, and no other page.

    Its text changes with them, so that browsers fetch them anew.
    """
    files = [reverse("tmtp_notices:offline"), static("tmtp_notices/offline.css"), icon("icon-192")]
    page = render_to_string("tmtp_notices/offline.html", _of_offline())
    own = {
        "cache": "tmtp-offline-" + hashlib.sha256("\n".join([*files, page]).encode()).hexdigest()[:16],
        "files": files,
        "mailbox": reverse("tmtp_mailbox:mailbox"),
        "icon": icon("icon-192"),
        "badge": icon("badge-96"),
        "name": str(tmtp_conf.SITE_NAME),
    }
    text = render_to_string("tmtp_notices/worker.js", {"own": SafeString(json.dumps(own))})
    headers = {"Service-Worker-Allowed": get_script_prefix()}
    return HttpResponse(text, content_type="text/javascript; charset=utf-8", headers=headers)


@require_safe
def offline(request: HttpRequest) -> HttpResponse:
    """Return the page that is shown without a connection. It is the same for everybody."""
    return render(request, "tmtp_notices/offline.html", _of_offline())


def _of_offline() -> dict[str, Any]:
    return {"site_name": tmtp_conf.SITE_NAME, "icon": icon("icon-192"), "theme_color": conf.THEME_COLOR}


def icon(file: str) -> str:
    """Return the address of an icon."""
    return static(f"tmtp_notices/icons/{file}.png")
