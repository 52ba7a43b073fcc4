"""Run the suite on every supported Python and Django: `nox`. Interpreters that are missing are skipped.

    nox --list
    nox -s "tests(python='3.13', django='6.1')" -- tmtp/tests/test_store.py

Arguments after -- are pytest's. Without them everything runs on SQLite, and again on PostgreSQL where that matters.
"""

from __future__ import annotations

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DJANGOS = {"5.2": "Django>=5.2.8,<6", "6.0": "Django>=6.0,<6.1", "6.1": "Django>=6.1,<6.2"}
PAIRS = [(python, django) for python in PYTHONS for django in DJANGOS if django == "5.2" or python != "3.11"]


@nox.session
@nox.parametrize("python,django", PAIRS)
def tests(session: nox.Session, django: str) -> None:
    """Run pytest."""
    session.install("-r", "requirements-test.txt", DJANGOS[django])
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs)
        return
    session.run("python", "-m", "pytest")
    session.run("python", "-m", "pytest", "--database=postgresql", "-m", "not once")


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, mypy and the audit of dependencies."""
    session.install("-r", "requirements-test.txt")
    session.run("python", "-m", "ruff", "check", ".")
    session.run("python", "-m", "ruff", "format", "--check", ".")
    session.run("python", "-m", "mypy")
    session.run("python", "tools/audit.py")
