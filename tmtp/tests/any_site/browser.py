"""A signed-in browser, which can follow all links of the pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from .people import account


class Browser:
    """A signed-in browser. Paths are those that `reverse` returns, with the path under which the site is served."""

    def __init__(self, name: str) -> None:
        from django.test import Client

        self.client = Client(raise_request_exception=True)
        self.client.force_login(account(name))

    def post(self, path: str, data: dict[str, Any], status: int = 200) -> str:
        return self._text(self._follow(self.client.post(self._inside(path), data)), path, status)

    def get(self, path: str, status: int = 200) -> str:
        return self._text(self._follow(self.client.get(self._inside(path))), path, status)

    def _follow(self, response: Any) -> Any:
        while response.status_code in (301, 302):
            response = self.client.get(self._inside(response["Location"]))
        return response

    @staticmethod
    def _inside(path: str) -> str:
        from django.conf import settings

        prefix = (settings.FORCE_SCRIPT_NAME or "").rstrip("/")
        assert path.startswith(prefix + "/"), f"{path} leads out of {prefix}"
        return path[len(prefix) :]

    @staticmethod
    def _text(response: Any, path: str, status: int) -> str:
        assert response.status_code in (status, 204), f"{path}: {response.status_code}"
        if response.streaming:
            return b"".join(response.streaming_content).decode()
        return response.content.decode()

    def crawl(self, *starts: str) -> set[str]:
        """Get these pages and the pages of this project that they link to, one of each kind. Return the kinds.

        Pages of one kind differ in numbers, and in the values of their parameters. One parameter is enough, two on a
        site with the setting CRAWL_PAIRS. Links with more are looked at, and not followed.
        """
        from django.conf import settings

        most = 2 if getattr(settings, "CRAWL_PAIRS", False) else 1
        seen: set[str] = set()
        left = list(starts)
        while left:
            path = left.pop()
            assert not re.search(r"\d[.,\s\u00a0\u202f\u066c\u2019']\d{3}", path), f"a number for readers in {path}"
            names = sorted(parse_qs(urlsplit(path).query))
            kind = " ".join([re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "#", urlsplit(path).path), *names])
            if kind in seen or len(names) > most:
                continue
            seen.add(kind)
            text = self.get(path)
            left += [urljoin(path, link) for link in links(text) if urlsplit(urljoin(path, link)).netloc == ""]
        return seen


def links(text: str) -> Iterable[str]:
    """Return the URLs in a page that a browser may get."""
    found = re.findall(r'(?:\shref|hx-get)="([^"#]+)', text)
    plain = (unescape(link) for link in found)
    leave_out = (
        "/logout/",
        "/admin/auth/",
        "/admin/django_q/",
        "/admin/people/",
        "jsi18n",
        "/static/",
        "mailto:",
        "password",
        "javascript:",
    )
    home = reverse("admin:index").removesuffix("admin/")
    return [
        link for link in plain if link.rstrip("/") != home.rstrip("/") and not any(one in link for one in leave_out)
    ]


def reverse(name: str, *args: Any) -> str:
    from django.urls import reverse

    return reverse(name, args=args)
