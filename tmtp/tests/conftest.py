"""Fixtures for tests that run a real server."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tmtp.testing import Server, running_server

FreshDatabase = Callable[[], dict[str, str]]


@contextlib.contextmanager
def database_of_its_own() -> Iterator[str | None]:
    """The URL of a new, empty database on this run's PostgreSQL; None on SQLite, which has one in each MNM_VAR."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield None
        return
    import psycopg

    def administer(statement: str) -> None:
        """Over a connection of its own: a test may crash the server, which ends those that are open."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)

    name = f"mnm_{secrets.token_hex(6)}"
    administer(f"CREATE DATABASE {name}")
    try:
        yield url.replace("/mnm?", f"/{name}?")
    finally:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def site_of_its_own(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a site that shares nothing with others: MNM_VAR is `folder`, and a database; no limits."""
    with database_of_its_own() as url:
        yield {"MNM_VAR": str(folder), "TMTP_LIMITS": "off", **({"DATABASE_URL": url} if url else {})}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A site for one test: see `site_of_its_own`. Its database has no tables yet."""
    with site_of_its_own(tmp_path / "var") as environment:
        yield environment


@pytest.fixture
def lease(db: None) -> int:
    """The lease of a server that runs."""
    from tmtp.services import leases

    return leases.take("127.0.0.1:1").pk


@pytest.fixture(scope="session")
def server_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Gives a running server by its TMTP settings (JSON, over the site's); started when it is first asked for."""
    import json

    servers: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:
        environment: dict[str, str] = {}

        def get(settings: str) -> Server:
            if not environment:
                environment.update(stack.enter_context(site_of_its_own(tmp_path_factory.mktemp("servers") / "var")))
            if settings not in servers:
                run = running_server(env=environment, migrate=not servers, tmtp=json.loads(settings))
                servers[settings] = stack.enter_context(run)
            return servers[settings]

        yield get
