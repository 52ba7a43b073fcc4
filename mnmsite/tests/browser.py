"""Fixtures for tests in a browser: `site`, the whole site in processes of its own, and `page`, in Debian’s Chromium.

    def test_it(site, page):
        page.goto(site.url)
        expect(page.get_by_role("heading", level=1)).to_be_visible()  # of playwright.sync_api

`conftest.py` makes them available to all tests. A test with `page` must not be `async def` or use the ORM, since
Playwright's event loop is running. Use the fixture `other` instead, a process that sees the site's database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType, ConsoleMessage, Page

    from tmtp.tests.servers import Installation, Server

WITH_WINDOWS = "/usr/bin/chromium"
# The first one draws no windows, which saves a third of the time.
CHROMIUM = next(filter(shutil.which, ["/usr/bin/chromium-headless-shell", WITH_WINDOWS]), "")
PATIENCE_MS = 15_000
# V8's optimising compilers cost more than they save: each document runs its scripts, and axe-core, once or twice.
UNOPTIMISED = "--js-flags=--no-opt --no-maglev"
# Pages are laid out, and never drawn. That is enough for axe-core, not for clicks, which wait for a frame. It saves a
# fifth of the time; Chromium with windows draws all the same.
UNDRAWN = "--enable-begin-frame-control"


class Site:
    """A website (daphne) and its TMTP service, with their own folder and database."""

    def __init__(self, place: Installation, server: Server | None, port: int) -> None:
        self.place = place
        self.server = server  # `await site.server.register("alice")` connects a client over TLS
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"
        self.log_path = place.folder / f"web-{port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return what the website has written to standard error."""
        return self.log_path.read_text()

    def start(self) -> None:
        """Start the website, as the Procfile does, and wait until it answers."""
        from tmtp.tests import processes

        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daphne", "-v", "0", "-p", str(self.port), "mnmsite.asgi:application"],
                cwd=processes.ROOT,
                env=self.place.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent(),
            )
        processes.wait_for_port(self.port, lambda: f"{self.process and self.process.poll()}: {self.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the website, and return its exit code."""
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
        """Run `manage.py` and return its output. Raise CalledProcessError if it fails."""
        from tmtp.tests.processes import ROOT

        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=ROOT, env={**self.place.env, **env}, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()

    def other_process(self) -> contextlib.AbstractContextManager[Any]:
        """Return a process with this site's Django, to run code in (see tmtp.tests.processes.Other)."""
        return self.place.other_process()


@contextlib.contextmanager
def running_site(env: dict[str, str] | None = None, **tmtp: Any) -> Iterator[Site]:
    """Run a site until the block ends, with these environment variables and TMTP settings besides the defaults."""
    from tmtp.tests.processes import free_port
    from tmtp.tests.servers import installation

    with installation(**tmtp) as place:
        port = free_port()
        address = f"127.0.0.1:{port}"
        place.env.update({"MNM_HTTP": address, "MNM_URL": f"http://{address}", **(env or {})})
        site = Site(place, None, port)
        with place.serve() as site.server:
            try:
                site.start()
                yield site
            finally:
                site.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Return a site that all tests of the run share. Each test must use names of its own."""
    with running_site() as running:
        yield running


@pytest.fixture(scope="session")
def other(site: Site) -> Iterator[Any]:
    """Return another process of that site, which all tests of the run share."""
    with site.other_process() as process:
        yield process


@pytest.fixture(scope="session")
def shared_chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop]]:
    """Return the Chromium that all tests of the run share, and Playwright's event loop."""
    if not CHROMIUM:
        missing = "a browser is needed: apt-get install chromium-headless-shell, or chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    from playwright.sync_api import expect, sync_playwright

    from tmtp.tests.keyboard import register_focus

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        register_focus(playwright.selectors)
        loop = asyncio.get_running_loop()
        browser = launch(playwright.chromium)
        with running_loop(None):
            yield browser, loop
        browser.close()


@pytest.fixture
def chromium(shared_chromium: tuple[Browser, asyncio.AbstractEventLoop]) -> Iterator[Browser]:
    """Return Chromium. Close what the test opens in it."""
    browser, loop = shared_chromium
    with running_loop(loop):
        yield browser


@contextlib.contextmanager
def running_loop(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Let this be asyncio's running loop until the block ends.

    Playwright's loop counts as running for as long as Playwright is there. Between the tests in a browser it must not,
    since others use the ORM and loops of their own.
    """
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)


def launch(chromium: BrowserType, *options: str, program: str = CHROMIUM) -> Browser:
    """Start Chromium with these options besides the usual ones."""
    as_root = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
    return chromium.launch(executable_path=program, args=[UNOPTIMISED, *as_root, *options])


@contextlib.contextmanager
def pages_in(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page in a new browser profile. Relative URLs are those of the site at `url`.

    Its options are those of Browser.new_context. Service workers are blocked, since
    requests pass by Playwright in them. At the end, the test fails if a script of a page has failed, or if a page has
    written an error or a warning to the console.
    """
    wrong: list[str] = []
    with contextlib.ExitStack() as contexts:

        def open_page(**options: Any) -> Page:
            context = browser.new_context(**{"base_url": url, "service_workers": "block", **options})
            contexts.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
            return page

        yield open_page
    assert not wrong, f"the browser complained: {wrong}"


@pytest.fixture
def new_page(chromium: Browser, site: Site) -> Iterator[Any]:
    """Return a function that opens a page in a new browser profile: see `pages_in`."""
    with pages_in(chromium, site.url) as open_page:
        yield open_page


@pytest.fixture
def page(new_page: Any) -> Page:
    """Open a page in a new browser profile."""
    return new_page()


def _is_wrong(message: ConsoleMessage) -> bool:
    """Return whether a page should not have written this to the console.

    Chromium writes about each answer with an error and each lost connection, which may be what a test is about, and
    about attachments that it does not run. What Playwright itself writes is about service workers. htmx writes two
    lines about each request that has failed: afterRequest, and then why. That is sendAbort if the page was left
    meanwhile, and otherwise sendError or timeout, which are wrong.
    """
    expected = (
        r"blocked by Playwright|^Failed to load .* status of|net::ERR_|^Refused to execute script from '\S+/files/"
        r"|^htmx:(afterRequest|sendAbort)\b"
    )
    return message.type in ("error", "warning") and not re.search(expected, message.text)
