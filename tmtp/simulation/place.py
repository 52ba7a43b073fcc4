"""A server of the site's own code with nothing of the site's data: temporary folder, database, certificate.

The child process gets a settings module that is the site's own with a few settings replaced, so this works on any
site that has `tmtp` installed.
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

SETTINGS = """
import {site}
from {site} import *
DATABASES = {{"default": {database!r}}}
DATABASE_ROUTERS = []
CHANNEL_LAYERS = {{"default": {{"BACKEND": "channels.layers.InMemoryChannelLayer"}}}}
TMTP = {{**getattr({site}, "TMTP", {{}}), **{tmtp!r}}}
"""
# A session of its own keeps Ctrl-C for the simulation, which stops the server when it has seen the rest arrive.
MANAGE = """
import ctypes, os, signal, sys
from django.core.management import execute_from_command_line
if hasattr(os, "setsid"):
    os.setsid()
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
execute_from_command_line(sys.argv)
"""


@contextlib.contextmanager
def temporary_server(
    *, database: Mapping[str, Any] | None = None, tmtp: Mapping[str, Any] | None = None
) -> Iterator[Server]:
    """Run a server until the block ends, then leave nothing behind.

    `database` says which kind of database, and how to reach it, as in DATABASES (default: the site's own); a new one
    is made beside it. `tmtp` is put over the site's TMTP; limits are lifted. Raises CommandError, ServerFailed.
    """
    with tempfile.TemporaryDirectory(prefix="tmtp-simulation-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with temporary_database(database or settings.DATABASES["default"], folder) as new:
            replaced: dict[str, Any] = {"LIMITS": None, "OPENID": {"auth": 0, "authby": []}, "OPEN_REGISTRATION": True}
            replaced |= {"SPOOL_DIR": str(folder / "spool"), **(tmtp or {})}
            environment = prepare(folder, new, replaced)
            with running_server(manage=folder / "manage.py", migrate=True, env=environment) as server:
                yield server


def prepare(folder: Path, database: Mapping[str, Any], tmtp: Mapping[str, Any]) -> dict[str, str]:
    """Write a manage.py and its settings in a folder; gives the environment to run it in."""
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
    """A new database of the same kind, in the same server or (SQLite) in the folder; gives its entry in DATABASES."""
    if like["ENGINE"].endswith("sqlite3"):
        yield {"ENGINE": like["ENGINE"], "NAME": str(folder / "simulation.sqlite3")}
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
    """The resident memory of a process in MB, None when that cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    with contextlib.suppress(OSError, ValueError):
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(done.stdout) / 1e3
    return None
