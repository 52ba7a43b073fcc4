"""Static files below the path that the site is served under."""

from __future__ import annotations

from django.contrib.staticfiles import storage
from django.urls import get_script_prefix

from mnmsite import settings


class StaticFilesStorage(storage.StaticFilesStorage):
    """Put the path that the site is served under before STATIC_URL, at each use.

    Django does so once, when a process first uses STATIC_URL: usually before the first request, which brings the path.
    """

    @property
    def base_url(self) -> str:  # type: ignore[override]
        """Return the beginning of the URLs."""
        return get_script_prefix() + settings.STATIC_URL
