"""The example site: a chess club’s, as it looks after some weeks, for screenshots and for tests of all pages.

    with staged_site() as scene:
        scene.pages["tmtp_mailbox:thread"]  # pages by URL name: (name of the screenshot, reader, path)

`mnmsite.tests.stage` fills it, and `mnmsite.tests.scene_pages` lists its pages.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from mnmsite.tests import pseudo
from mnmsite.tests.browser import Site, running_site
from mnmsite.tests.people import UNIVERSITY, VISITOR

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tmtp.testing import Client

NAME = "Riverside Chess Club"
ADDRESS = "chess.example.org:7443"


class Shown(NamedTuple):
    """A page as a reader sees it: the name of its screenshot, the reader, and the path."""

    name: str
    who: str
    path: str


@dataclass
class Scene:
    """The site, its content and its pages."""

    site: Site
    sessions: dict[str, str]  # session keys by reader
    pages: dict[str, list[Shown]]  # by URL name
    rendered: dict[str, str]  # error pages, by template
    laptop: Client  # Anna's laptop, which is online

    def every_page(self) -> Iterator[Shown]:
        """Return all pages."""
        for several in self.pages.values():
            yield from several

    def open(self, page: Page, shown: Shown) -> None:
        """Open a page as its reader. The laptop sends a pulse first, so that its link is not closed for silence."""
        self.laptop.send({"op": 11})
        self.sign_in(page, shown.who)
        if shown.path in self.rendered:
            address = f"{self.site.url}rendered/{shown.path}"
            answer = {"body": self.rendered[shown.path], "content_type": "text/html"}
            page.route(address, lambda route: route.fulfill(**answer), times=1)  # while it waits, nothing is cached
            page.goto(address)
        else:
            page.goto(shown.path)

    def read(self, shown: Shown, language: str) -> str:
        """Return the HTML of a page as its reader gets it in this language."""
        request = Request(self.site.url.rstrip("/") + shown.path, headers={"Accept-Language": language})
        if shown.who != VISITOR:
            request.add_header("Cookie", f"sessionid={self.sessions[shown.who]}")
        try:
            with urlopen(request) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return error.read().decode()

    def sign_in(self, page: Page, who: str) -> None:
        """Sign a browser in as this person, if it is not.

        The page that is open is left first: its scripts would find that the reader is gone, and reload it. It is left
        for one of the site: Chromium starts a new process after about:blank, which takes as long as to look at a page.
        """
        signed_in = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}.get("sessionid")
        if signed_in == self.sessions.get(who):
            return
        page.goto(f"{self.site.url}healthz")
        page.context.clear_cookies()
        if who != VISITOR:
            cookie = {"name": "sessionid", "value": self.sessions[who], "url": self.site.url}
            page.context.add_cookies([cookie])  # type: ignore[list-item]


@contextlib.contextmanager
def staged_site() -> Iterator[Scene]:
    """Run the site in processes of its own, with Anna's laptop connected."""
    from tmtp.testing import Client
    from tmtp.tests.raw_client import TLS

    env = {
        "MNM_PROVIDER": "on",
        "TMTP_SITE_NAME": NAME,
        "TMTP_OPENID": json.dumps({"auth": 1, "authby": [UNIVERSITY]}),
    }
    with contextlib.ExitStack() as stack:
        env["MNM_TESTS_LOCALE"] = stack.enter_context(tempfile.TemporaryDirectory())
        pseudo.write(Path(env["MNM_TESTS_LOCALE"]))
        site = stack.enter_context(running_site(env, PUBLIC_ADDRESS=ADDRESS))
        other = stack.enter_context(site.other_process())
        site.url = site.url.replace("127.0.0.1", "localhost")  # there are no passkeys for a numeric address
        staged = other.run("from mnmsite.tests.stage import stage\nresult = stage()")
        with Client(("127.0.0.1", site.server.port), TLS) as laptop:
            laptop.greet()
            assert laptop.log_in(*staged["laptop"])["info"] == "login ok"
            laptop.next_queued("login")  # the newest message: everything else was queued before
            pages = {name: [Shown(*one) for one in shown] for name, shown in staged["pages"].items()}
            yield Scene(site, staged["sessions"], pages, staged["rendered"], laptop)
