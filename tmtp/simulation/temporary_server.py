"""Run servers with the site's code, but with a temporary folder, database and certificate.

Their processes have a settings module that is the site's own with a few settings replaced, so this works on any site
with `tmtp` in INSTALLED_APPS.
"""

from __future__ import annotations

import contextlib
import copy
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.db.utils import ConnectionHandler
from django.utils.translation import gettext as _

from ..testing import Server, running_server

SQLITE_OPTIONS = {  # those of docs/reference/checks.md
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
}
SETTINGS = """
import {site}
from {site} import *
DATABASES = {{"default": {database!r}}}
DATABASE_ROUTERS = []
CHANNEL_LAYERS = {{"default": {{"BACKEND": "channels.layers.InMemoryChannelLayer"}}}}
TMTP = {{**getattr({site}, "TMTP", {{}}), **{tmtp!r}}}
"""
# In its own session the server does not receive Ctrl-C: the simulation stops it, once everything has arrived.
MANAGE = """
import ctypes, os, signal, sys
from django.core.management import execute_from_command_line
if hasattr(os, "setsid"):
    os.setsid()
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
execute_from_command_line(sys.argv)
"""


class TemporarySite:
    """A folder and a database, and servers on them. Commands of the site need the variables in `environment`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._is_migrated = False
        self.environment = environment

    @contextlib.contextmanager
    def server(self, tmtp: Mapping[str, Any] | None = None) -> Iterator[Server]:
        """Run a server until the block ends. `tmtp` updates its TMTP. Raise ServerFailed if it does not start."""
        options: dict[str, Any] = {"manage": self._folder / "manage.py", "env": self.environment, "tmtp": tmtp}
        with running_server(migrate=not self._is_migrated, **options) as server:
            self._is_migrated = True
            yield server


@contextlib.contextmanager
def temporary_site(
    *, database: Mapping[str, Any] | None = None, tmtp: Mapping[str, Any] | None = None
) -> Iterator[TemporarySite]:
    """Yield a site with the site's own code and settings, and remove all its data when the block ends.

    A new database is created beside `database`, an entry of DATABASES (default: the site's own). `tmtp` updates the
    site's TMTP; limits are lifted. Raise CommandError if the database cannot be created.
    """
    with tempfile.TemporaryDirectory(prefix="tmtp-simulation-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with temporary_database(database or settings.DATABASES["default"], folder) as new:
            replaced: dict[str, Any] = {"LIMITS": None, "OPENID": {"auth": 0, "authby": []}, "OPEN_REGISTRATION": True}
            replaced |= {"SPOOL_DIR": str(folder / "spool"), "SPOOL_STORAGE": "", "NTP": {}, **(tmtp or {})}
            yield TemporarySite(folder, prepare(folder, new, replaced))


@contextlib.contextmanager
def temporary_server(
    *, database: Mapping[str, Any] | None = None, tmtp: Mapping[str, Any] | None = None
) -> Iterator[Server]:
    """Run the server of a `temporary_site`. Raise CommandError as that does, ServerFailed if it does not start."""
    with temporary_site(database=database, tmtp=tmtp) as site, site.server() as server:
        yield server


def prepare(folder: Path, database: Mapping[str, Any], tmtp: Mapping[str, Any]) -> dict[str, str]:
    """Write a manage.py and its settings into a folder. Return the environment variables to run it with."""
    text = SETTINGS.format(site=settings.SETTINGS_MODULE, database=dict(database), tmtp=dict(tmtp))
    (folder / "tmtp_simulation_settings.py").write_text(text)
    (folder / "manage.py").write_text(MANAGE)
    path = [str(folder), *(entry or os.getcwd() for entry in sys.path)]
    return {
        "DJANGO_SETTINGS_MODULE": "tmtp_simulation_settings",
        "PYTHONPATH": os.pathsep.join(path),
        "MNM_VAR": str(folder / "var"),
    }


@contextlib.contextmanager
def temporary_database(like: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """Create a database like this one in the same server (SQLite: in `folder`). Yield its entry of DATABASES."""
    if like["ENGINE"].endswith("sqlite3"):
        yield {"ENGINE": like["ENGINE"], "NAME": str(folder / "simulation.sqlite3"), "OPTIONS": SQLITE_OPTIONS}
        return
    name = f"tmtp_simulation_{secrets.token_hex(6)}"
    _administer(like, "CREATE DATABASE {}", name)
    try:
        yield {**{key: like[key] for key in like if key != "TEST"}, "NAME": name}
    finally:
        _administer(like, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(like: Mapping[str, Any], statement: str, name: str) -> None:
    connection = ConnectionHandler({"default": copy.deepcopy(dict(like))})["default"]
    try:
        with connection._nodb_cursor() as cursor:
            cursor.execute(statement.format(connection.ops.quote_name(name)))
    except DatabaseError as error:
        raise CommandError(_("There is no temporary database to be had: %s") % str(error).strip()) from error
    finally:
        connection.close()


def memory(pid: int) -> float | None:
    """Return the resident memory of a process in MB, or None if it is unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    with contextlib.suppress(OSError, ValueError):
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(done.stdout) / 1e3
    return None
