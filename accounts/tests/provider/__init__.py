"""A real OpenID provider: django-oauth-toolkit, in a process of its own with its own database.

    with running_provider() as provider:
        provider.add_client("mnm", "http://testserver/…")
        back = provider.approve(address)  # acts as the browser, returns the redirect

The root's `conftest.py` offers the fixture `provider` to all tests.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

PASSWORD = "correct horse battery"
PATIENCE = 60


class RealProvider:
    """The provider from a client's view. It has the users “ann” and “bob”, with PASSWORD."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.iss = f"{url}/o"
        self.http = requests.Session()
        self.http.trust_env = False  # no proxy on the way to loopback

    def add_client(self, client_id: str, redirect_uri: str, secret: str = "") -> None:
        """Add a client, which is public if it has no secret."""
        self._control("client", client_id=client_id, redirect_uri=redirect_uri, secret=secret)

    def rotate(self) -> None:
        """Replace the signing key with a new one."""
        self._control("rotate")

    def _control(self, what: str, **form: str) -> None:
        self.http.post(f"{self.url}/control/{what}/", data=form, timeout=PATIENCE).raise_for_status()

    def entry(self, device: str = "device", **change: Any) -> dict[str, Any]:
        """Return the provider's entry in TMTP["OPENID"]["authby"]. `device` is the client id of devices."""
        return {
            "label": "Example University",
            "login": [f"{self.iss}/authorize/", "response_type=code", "scope=openid"],
            "token": [f"{self.iss}/token/", "grant_type=authorization_code"],
            "std": [f"client_id={device}"],
            "keys": f"{self.iss}/.well-known/jwks.json",
            "iss": self.iss,
            "aud": device,
        } | change

    def approve(self, address: str, username: str = "ann") -> str:
        """Sign in as a user who was redirected to this URL, and return the URL that they are redirected back to."""
        with requests.Session() as browser:
            browser.trust_env = False
            page = browser.get(address, timeout=PATIENCE)
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
            assert token, page.text[:2000]
            form = {"username": username, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
            answer = browser.post(page.url, form, timeout=PATIENCE, allow_redirects=False)
            while answer.headers["Location"].startswith("/"):
                answer = browser.get(self.url + answer.headers["Location"], timeout=PATIENCE, allow_redirects=False)
            return answer.headers["Location"]

    def device_token(self, username: str = "ann") -> str:
        """Return the id_token that a device of this user shows, from the code flow of the public client “device”."""
        from mozilla_django_oidc.utils import generate_code_challenge

        to, code_verifier = "http://localhost:8123/", "v" * 64
        params = {
            "response_type": "code",
            "scope": "openid",
            "client_id": "device",
            "redirect_uri": to,
            "code_challenge": generate_code_challenge(code_verifier, "S256"),
            "code_challenge_method": "S256",
        }
        back = urlsplit(self.approve(f"{self.iss}/authorize/?{urlencode(params)}", username))
        form = {
            "grant_type": "authorization_code",
            "client_id": "device",
            "redirect_uri": to,
            "code": parse_qs(back.query)["code"][0],
            "code_verifier": code_verifier,
        }
        return str(self.http.post(f"{self.iss}/token/", form, timeout=PATIENCE).json()["id_token"])


@contextlib.contextmanager
def running_provider() -> Iterator[RealProvider]:
    """Run a provider on a free loopback port until the block ends."""
    with tempfile.TemporaryDirectory(prefix="mnm-provider-") as folder, Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "accounts.tests.provider"],
            cwd=Path(__file__).resolve().parents[3],
            env={
                **os.environ,
                "PROVIDER_FOLDER": folder,
                "DJANGO_SETTINGS_MODULE": "accounts.tests.provider.settings",
            },
            stdin=subprocess.PIPE,  # closing it ends the provider
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout
            url = process.stdout.readline().decode().strip()
            assert url.startswith("http://"), Path(folder, "log").read_text()[-3000:]
            yield RealProvider(url)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture(scope="session")
def provider() -> Iterator[RealProvider]:
    """Return the provider of this test run. Its clients are “device” (public, as for devices) and “web”."""
    with running_provider() as running:
        running.add_client("device", "http://localhost:8123/")
        running.add_client("web", "http://testserver/sign-in/example-university/callback/", "hush")
        yield running
