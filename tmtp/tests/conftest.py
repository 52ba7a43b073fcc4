"""Fixtures for tests that run a real server."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tmtp.simulation.verification.website import Website
from tmtp.testing import Server, running_server

from .databases import copy_statement, on_postgresql, postgresql_template, sqlite_template
from .processes import ROOT

FreshDatabase = Callable[[], dict[str, str]]


@contextlib.contextmanager
def database_of_its_own(template: str = "template1") -> Iterator[str | None]:
    """Return the URL of a new database on this run's PostgreSQL, or None on SQLite, where MNM_VAR has one."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield None
        return
    import psycopg

    def administer(statement: str) -> None:
        """Run a statement over a new connection, since a test may crash the server, which ends all open ones."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)

    name = f"mnm_{secrets.token_hex(6)}"
    administer(copy_statement(name, template))
    try:
        yield url.replace("/mnm?", f"/{name}?")
    finally:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def site_of_its_own(folder: Path, *, migrated: bool = False) -> Iterator[dict[str, str]]:
    """Return the environment of a site with a database and folder (MNM_VAR) of its own, and no limits.

    If `migrated`, the database is a copy of one that was migrated once for the whole run.
    """
    if migrated and not on_postgresql():
        folder.mkdir()
        shutil.copy(sqlite_template(), folder / "mnm.sqlite3")
    with database_of_its_own(postgresql_template() if migrated and on_postgresql() else "template1") as url:
        yield {"MNM_VAR": str(folder), "TMTP_LIMITS": "off", **({"DATABASE_URL": url} if url else {})}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of a site for one test (`site_of_its_own`). Its database has no tables yet."""
    with site_of_its_own(tmp_path / "var") as environment:
        yield environment


@pytest.fixture
def migrated_site(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of a site for one test (`site_of_its_own`), whose database is migrated."""
    with site_of_its_own(tmp_path / "var", migrated=True) as environment:
        yield environment


@pytest.fixture
def lease(db: None) -> int:
    """Return the lease of a running server."""
    from tmtp.services.queue import leases

    return leases.take("127.0.0.1:1").pk


class Servers:
    """The running servers of a site, by their TMTP settings, which update the site's. The first call starts each."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._servers: dict[tuple[str, int], Server] = {}

    @cached_property
    def _environment(self) -> dict[str, str]:
        return self._stack.enter_context(site_of_its_own(self._folder / "var", migrated=True))

    def __call__(self, tmtp: dict[str, Any], processes: int = 1) -> Server:
        """Return the server with these settings and so many processes for links."""
        key = json.dumps(tmtp), processes
        if key not in self._servers:
            run = running_server(env=self._environment, tmtp=tmtp, processes=processes)
            self._servers[key] = self._stack.enter_context(run)
        return self._servers[key]

    @cached_property
    def website(self) -> Website:
        """A process of the same site that is not a server."""
        environment = {**self._environment, "PYTHONPATH": str(ROOT)}
        return self._stack.enter_context(contextlib.closing(Website(environment)))


@pytest.fixture(scope="module")
def server_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Return a function that returns a running server by its TMTP settings. They stop after the module's tests."""
    with contextlib.ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("servers"), stack)
