"""Fixtures for tests in a browser: `site`, the whole site as processes of its own, and `page`, in Debian’s chromium.

    def test_it(site, page):
        page.goto(site.url)
        expect(page.get_by_role("heading", level=1)).to_be_visible()  # of playwright.sync_api

`conftest.py` offers them to all tests. What uses `page` must not be `async def`, nor use the ORM: Playwright's loop
runs meanwhile. `site.other_process()` is for that, and sees the site's database.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

    from tmtp.tests.real import Installation, Server

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 15_000


class Site:
    """A website (daphne) and its TMTP service, with a folder and a database of their own."""

    def __init__(self, place: Installation, server: Server | None, port: int) -> None:
        self.place = place
        self.server = server  # `await site.server.register("alice")` is a client of it over TLS
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"
        self.log_path = place.folder / f"web-{port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What the website has written to standard error."""
        return self.log_path.read_text()

    def start(self) -> None:
        """Start the website, as the Procfile does, and wait until it answers."""
        from tmtp.tests import real

        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daphne", "-v", "0", "-p", str(self.port), "mnmsite.asgi:application"],
                cwd=real.ROOT,
                env=self.place.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=real.die_with_parent(),
            )
        real.wait_for_port(self.port, lambda: f"{self.process and self.process.poll()}: {self.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the website; gives its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(20)
        finally:
            process.kill()
            process.wait()

    def manage(self, *words: str, **env: str) -> str:
        """Run `manage.py`; gives what it prints, and raises CalledProcessError when it fails."""
        from tmtp.tests.real import ROOT

        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=ROOT, env={**self.place.env, **env}, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()

    def other_process(self) -> contextlib.AbstractContextManager[Any]:
        """A process with this site's Django, to run code in: see tmtp.tests.real.Other."""
        return self.place.other_process()


@contextlib.contextmanager
def running_site(env: dict[str, str] | None = None, **tmtp: Any) -> Iterator[Site]:
    """Run a site with environment variables and a TMTP of its own over the defaults, until the block ends."""
    from tmtp.tests.real import free_port, installation

    with installation(**tmtp) as place:
        port = free_port()
        place.env.update({"MNM_HTTP": f"127.0.0.1:{port}", **(env or {})})
        site = Site(place, None, port)
        if "MNM_PROVIDER" in place.env:  # which has tables of its own
            site.manage("migrate", "--verbosity=0")
        with place.serve() as site.server:
            try:
                site.start()
                yield site
            finally:
                site.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """One site for all tests of a run: let each use names of its own."""
    with running_site() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It ends with the module, as tests in asyncio cannot run beside Playwright."""
    if not shutil.which(CHROMIUM):
        missing = f"a browser is needed: {CHROMIUM} (apt-get install chromium)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


def launch(playwright: Playwright) -> Browser:
    """Start chromium."""
    options = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=options)


@pytest.fixture
def new_page(browser: Browser, site: Site) -> Iterator[Any]:
    """Gives, when called, a page in a browser profile of its own; relative addresses are the site's.

    Options are those of Browser.new_context. Fails at the end when a script of a page failed, or did what the page's
    content security policy forbids.
    """
    wrong: list[str] = []
    with contextlib.ExitStack() as contexts:

        def open_page(**options: Any) -> Page:
            context = browser.new_context(**{"base_url": site.url, **options})
            contexts.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if _is_forbidden(message.text) else None)
            return page

        yield open_page
    assert not wrong, f"the browser complained: {wrong}"


@pytest.fixture
def page(new_page: Any) -> Page:
    """A new page in a profile of its own."""
    return new_page()


def _is_forbidden(text: str) -> bool:
    return bool(re.search(r"content security policy", text, re.IGNORECASE))
