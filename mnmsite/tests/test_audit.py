"""The audit of dependencies: a vulnerability fails, and what could not be audited is said."""

from __future__ import annotations

import subprocess
from importlib import metadata

import pytest

from tools import audit

pytestmark = pytest.mark.once

FINE = {"name": "django", "version": "6.0", "vulns": []}
HOLE = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": ["CVE-1"], "description": "bad"}
BAD = {"name": "thing", "version": "1.0", "vulns": [HOLE]}


def test_a_vulnerability_fails_with_its_fix():
    assert audit.report([FINE, BAD]) == (
        ["thing 1.0: PYSEC-1, fixed in 1.1", "audit: 2 packages audited, 1 known vulnerabilities"],
        True,
    )


def test_one_that_does_not_concern_us_is_accepted_under_any_of_its_names(monkeypatch):
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-1": "we do not use that"})
    assert audit.report([BAD])[1] is False


def test_what_pypi_does_not_know_is_said():
    lines, bad = audit.report([FINE, {"name": "own", "skip_reason": "not there"}])
    assert not bad
    assert "NOT AUDITED" in lines[-1]


def test_without_pypi_it_says_so_and_does_not_fail(monkeypatch, capsys):
    answer = subprocess.CompletedProcess([], 1, stdout="", stderr="ERROR: connection refused")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    assert audit.main() == 0
    assert "NOT AUDITED" in capsys.readouterr().err


def test_all_that_is_required_is_asked_about_in_its_installed_version():
    """That includes packages of extras, such as cffi for PyJWT[crypto], but not what nothing requires, such as pip."""
    versions = audit.installed(audit.required())
    assert versions["django"] == metadata.version("Django")
    assert {"cryptography", "cffi", "asgiref", "pytest"} <= versions.keys()
