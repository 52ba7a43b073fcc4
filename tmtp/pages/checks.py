"""System checks of the pages. Each id is in docs/reference/checks.md."""

from __future__ import annotations

from typing import Any

from django.core import checks

from ..conf import conf, import_dotted
from ..web import checks as web


@checks.register("tmtp_pages")
def check_pages(**_: Any) -> list[checks.CheckMessage]:
    """Check for W001 and E003."""
    found = web.check_urls("tmtp_pages", "devices", 'path("", include("tmtp.pages.urls"))')
    try:
        import_dotted(conf.CONFIRMATION)
    except Exception as error:  # whatever the site's module does
        message = f"TMTP[“CONFIRMATION”] names “{conf.CONFIRMATION}”, which cannot be imported: {error}"
        found.append(checks.Error(message, hint="Correct it, or leave it out.", id="tmtp_pages.E003"))
    return found
