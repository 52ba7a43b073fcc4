"""Scenarios that must work on any site. They run one after another in a process of the site.

    python -c "from tmtp.tests.any_site import main; main()" FILE [COMMAND ...]

Run the commands of Django (JSON arrays of words), migrate the database, run the scenarios, and write to FILE, as JSON,
each scenario's name with its traceback, which is empty if it passed. A scenario that fails does not end the others. Of
the site's model of accounts they use only Django's own contract: USERNAME_FIELD, REQUIRED_FIELDS, and managers with
`create_user` and `create_superuser`.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import django

from .scenarios import FIRST_ID, SCENARIOS

for name in ("services", "delivery", "pages"):  # their scenarios run in this order
    import_module(f"{__name__}.{name}")


def main() -> None:
    django.setup()
    out, *commands = sys.argv[1:]
    prepare([json.loads(command) for command in commands])
    found = {}
    for run in SCENARIOS:
        try:
            run()
        except Exception:
            found[run.__name__] = traceback.format_exc()
        else:
            found[run.__name__] = ""
    Path(out).write_text(json.dumps(found))


def prepare(commands: Iterable[list[str]]) -> None:
    """Run the commands, migrate the database, copy it to the replica if there is one, and begin ids with FIRST_ID."""
    from django.apps import apps
    from django.core.management import call_command
    from django.db import connection, connections
    from django.db.models import AutoField, BigAutoField

    from tmtp.tests.databases import migrate_faster

    for command in commands:
        call_command(*command)
    migrate_faster()
    call_command("migrate", verbosity=0)
    if "replica" in connections:
        copy(connection, connections["replica"])
    tables = [
        model._meta.db_table
        for model in apps.get_models()
        if isinstance(model._meta.pk, AutoField | BigAutoField) and model._meta.managed
    ]
    with connection.cursor() as cursor:
        for table in tables:
            if connection.vendor == "sqlite":
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, FIRST_ID])
            else:
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [table, FIRST_ID])


def copy(database: Any, replica: Any) -> None:
    """Make the replica a copy of this database: that takes far less time than to migrate it, too."""
    if database.vendor == "sqlite":
        replica.ensure_connection()
        database.connection.backup(replica.connection)
        return
    from tmtp.tests.databases import copy_statement

    database.close()
    replica.close()
    name, template = replica.settings_dict["NAME"], database.settings_dict["NAME"]
    with replica._nodb_cursor() as cursor:
        # PgBouncer keeps sessions, and a database with sessions cannot be copied
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [template])
        cursor.execute(f"DROP DATABASE {name}")
        cursor.execute(copy_statement(name, template))
