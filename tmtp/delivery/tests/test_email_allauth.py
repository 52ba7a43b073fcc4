"""Another app's mails, unchanged: django-allauth's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[3]


def test_allauth(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tmtp.delivery.tests.allauth_site", tmp_path]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={})
    assert run.returncode == 0, run.stderr[-2000:]
    seen = json.loads(run.stdout)
    # Mails for signing in are only mailed; all others are sent both ways.
    assert len(seen["signed up"]["mails"]) == len(seen["forgotten"]["mails"]) == 1
    assert seen["signed up"]["messages"] == seen["forgotten"]["messages"] == []
    assert seen["hello"] == {"mails": ["Hello"], "messages": ["Hello"]}
