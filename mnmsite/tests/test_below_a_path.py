"""The site below a path of its host: `daphne --root-path`, as behind a web server that has other sites too."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tmtp.tests.databases import sqlite_template
from tmtp.tests.processes import die_with_parent, free_port, wait_for_port

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["--root-path", "MNM_URL"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a site that is served at /club, as the server says, or as the settings do."""
    folder = tmp_path_factory.mktemp("club")
    shutil.copy(sqlite_template(), folder / "mnm.sqlite3")
    env = {**os.environ, "MNM_VAR": str(folder), "DATABASE_URL": ""}
    if request.param == "MNM_URL":
        env["MNM_URL"] = "https://example.org/club"
    port = free_port()
    options = ["--root-path", "/club"] if request.param == "--root-path" else []
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "daphne", *options, "-p", str(port), "mnmsite.asgi:application"],
            cwd=ROOT,
            env=env,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(),
        )
    try:
        wait_for_port(port, log.read_text)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def get(host: str, path: str) -> tuple[str, str]:
    with urllib.request.urlopen(f"http://{host}{path}") as response:
        return response.url, response.read().decode("utf-8", "replace")


def test_pages_and_static_files(host: str) -> None:
    for page in ("/club/", "/club/live/", "/club/sign-in/", "/club/mailbox/", "/club/admin/"):
        url, text = get(host, page)
        assert url.startswith(f"http://{host}/club/")
        found = [link for link in re.findall(r'(?:href|src)="(/[^"]*)', text) if "?" not in link]
        assert any("/static/" in link for link in found)
        for link in set(found):
            assert link.startswith("/club/"), link
            get(host, link)


def test_the_live_page_connects(host: str) -> None:
    (path,) = re.findall(r'data-link="([^"]+)"', get(host, "/club/live/")[1])
    header = b'{"op":0,"id":"1"}'
    with connect(f"ws://{host}{path}") as socket:
        socket.send(b"%04x%b" % (len(header), header))
        answer = socket.recv(timeout=60)
    assert json.loads(answer[4:])["op"] == "tmtprev"
