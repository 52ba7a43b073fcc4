"""The settings of docs/how-to/deploy.md: nothing for `check --deploy` to warn of, and https only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tmtp.notices import vapid
from tmtp.tests.databases import sqlite_template
from tmtp.tests.processes import ROOT
from tmtp.tests.servers import certificate

pytestmark = pytest.mark.once

CHECK = ["check", "--deploy", "--fail-level", "WARNING"]
ASK = """
import django, json
django.setup()
from django.core.management import call_command
from django.test import Client
if {checked}:
    call_command("check", deploy=True, fail_level="WARNING")
client = Client(headers={{"host": "mnm.example.org"}})
plain, secure = client.get("/sign-in/"), client.get("/sign-in/", secure=True)
print(json.dumps([plain.status_code, plain["Location"], secure.status_code, secure.get("Strict-Transport-Security"),
                  all(cookie["secure"] for cookie in secure.cookies.values())]))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a site behind a proxy, with a certificate and a key for Web Push."""
    (tmp_path / "tls").symlink_to(certificate())
    vapid.make(tmp_path / "vapid.pem")
    shutil.copy(sqlite_template(), tmp_path / "mnm.sqlite3")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MNM_", "TMTP_", "DATABASE_"))}
    return ours | {
        "DJANGO_SETTINGS_MODULE": "mnmsite.settings",
        "MNM_VAR": str(tmp_path),
        "MNM_ALLOWED_HOSTS": "mnm.example.org",
        "MNM_URL": "https://mnm.example.org",
        "MNM_HTTPS": "on",
    }


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_check_deploy_finds_nothing_with_the_provider(env: dict[str, str]) -> None:
    checked = run(env | {"MNM_PROVIDER": "on"}, "manage.py", *CHECK)
    assert checked.returncode == 0, checked.stderr


def test_check_deploy_warns_without_https(env: dict[str, str]) -> None:
    checked = run(env | {"MNM_HTTPS": "off"}, "manage.py", *CHECK)
    assert checked.returncode == 1
    assert "security.W008" in checked.stderr


@pytest.mark.parametrize(
    ("more", "header"),
    [
        ({}, "max-age=3600"),
        ({"MNM_HSTS": "31536000", "MNM_HSTS_SUBDOMAINS": "on"}, "max-age=31536000; includeSubDomains"),
        ({"MNM_HSTS": "0"}, None),
    ],
    ids=str,
)
def test_https_only(env: dict[str, str], more: dict[str, str], header: str | None) -> None:
    """And `check --deploy` finds nothing, except that it warns of a site without HSTS."""
    asked = run(env | more, "-c", ASK.format(checked=header is not None))
    assert asked.returncode == 0, asked.stderr
    said = asked.stdout.splitlines()[-1]
    assert json.loads(said) == [301, "https://mnm.example.org/sign-in/", 200, header, True], asked.stderr
