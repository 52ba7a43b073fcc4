"""The databases of a test run: its PostgreSQL, if there is one, and templates that were migrated once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from .processes import ROOT

MIGRATE = """
import django
from django.apps import apps
from django.core.management import call_command
from tmtp.tests.databases import migrate_faster

migrate_faster()
django.setup()
for app in filter(apps.is_installed, ["oauth2_provider"]):
    call_command("migrate", app, verbosity=0, skip_checks=True)
call_command("migrate", verbosity=0, skip_checks=True)
"""


def on_postgresql() -> bool:
    """Return whether this test run uses PostgreSQL."""
    return bool(os.environ.get("DATABASE_URL"))


def url_of(name: str) -> str:
    """Return the URL of a database in this run's PostgreSQL."""
    return os.environ["DATABASE_URL"].replace("/mnm?", f"/{name}?")


def administer(name: str = "postgres") -> Any:
    """Open a connection to this run's PostgreSQL without Django."""
    import psycopg

    return psycopg.connect(url_of(name), autocommit=True)


@cache
def sqlite_template() -> Path:
    """Return a migrated database file to copy. The runs of one `make test` with the same settings share it."""
    given = os.environ.get("TEST_TEMPLATES")
    folder = Path(given or shared_folder(), os.environ["DJANGO_SETTINGS_MODULE"])
    folder.mkdir(exist_ok=True)
    made, template = folder / "mnm.sqlite3", folder / "template.sqlite3"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making it
        if not template.exists():
            _migrate(MNM_VAR=str(folder), DATABASE_URL="")
            with contextlib.closing(sqlite3.connect(made)) as database:
                database.execute("PRAGMA journal_mode = DELETE")  # so that everything is in one file
            made.rename(template)
    return template


@cache
def postgresql_template() -> str:
    """Return the name of a migrated database to copy."""
    name = f"template_{os.getpid()}"
    folder = shared_folder() / "postgresql"
    folder.mkdir(exist_ok=True)
    with administer() as admin:
        admin.execute(copy_statement(name, "template1"))
    _migrate(MNM_VAR=str(folder), DATABASE_URL=url_of(name))
    return name


def copy_statement(name: str, template: str = "") -> str:
    """Return the SQL that creates a database as a copy of another, by default the migrated one.

    Its files are copied. By default, PostgreSQL writes each of their pages to its log, which takes longer.
    """
    return f"CREATE DATABASE {name} TEMPLATE {template or postgresql_template()} STRATEGY file_copy"


def shared_folder() -> Path:
    """Return a folder that is removed at the end of the run (its MNM_VAR is in one)."""
    folder = Path(os.environ["MNM_VAR"]).parent / "real"
    folder.mkdir(exist_ok=True)
    return folder


def migrate_faster() -> None:
    """Let the migrations of this process take three quarters of their time.

    A new model makes Django build the classes of all models that lead to it again. Let that wait until a migration
    runs Python (`delay`, as with new fields).
    """
    from django.db.migrations.state import ProjectState

    reload = ProjectState.reload_model

    def reload_later(state: ProjectState, app: str, model: str, delay: bool = False) -> None:
        reload(state, app, model, delay=True)

    ProjectState.reload_model = reload_later  # type: ignore[method-assign]


def _migrate(**env: str) -> None:
    """Run `migrate` with all apps that a site of the run may have, those of a provider too.

    The provider's are migrated first. Its many changes of fields then need no classes of all other models, which
    saves a fifth of the time.
    """
    every_app = {**os.environ, "MNM_PROVIDER": "on", **env}
    subprocess.run([sys.executable, "-c", MIGRATE], cwd=ROOT, env=every_app, check=True)
