"""System checks of the pages. Each id is in docs/reference/checks.md."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core import checks

from ..web import checks as web


@checks.register("tmtp")
def check_pages(**_: Any) -> list[checks.CheckMessage]:
    """Check for W001 and E002."""
    found = web.check_urls("tmtp_pages", "devices", 'path("", include("tmtp.pages.urls"))')
    if find_spec("segno") is None:
        message = "The page for a new device shows a QR code, and the package segno is not installed."
        found.append(checks.Error(message, hint='pip install "mnm-django[pages]"', id="tmtp_pages.E002"))
    return found
