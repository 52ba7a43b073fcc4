"""Checks of the database: SQLite or PostgreSQL, configured for concurrent writers.

Only `check_servers` connects to the database. Django runs it for `manage.py migrate` and
`manage.py check --database default` only.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core import checks
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.utils import ConnectionRouter

from ..models import ServerLease
from ..services.queue.leases import fresh
from ..services.storage.dialect import is_pooled
from ..services.storage.hints import shared_layer

OLDEST_SQLITE = (3, 35)  # the first version with RETURNING
OPTIONS = (
    'DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"}'
)


@checks.register("tmtp")
def check_database(**_: Any) -> list[checks.CheckMessage]:
    """Check the router, the vendor, its version and its options: E007 to E011, W005 and W006."""
    routers = ConnectionRouter()  # those of the site, without `tmtp.routers`, which keeps tmtp in "default"
    if routers.db_for_write(ServerLease) != DEFAULT_DB_ALIAS:
        hint = "Let DATABASE_ROUTERS leave the app “tmtp” in “default”."
        return [checks.Error("The models of tmtp are not in the database “default”.", hint=hint, id="tmtp.E007")]
    if routers.db_for_write(get_user_model()) != DEFAULT_DB_ALIAS:
        hint = "Let DATABASE_ROUTERS write AUTH_USER_MODEL to “default”. It may be read from a replica."
        return [checks.Error("The accounts are not in the database “default”.", hint=hint, id="tmtp.E011")]
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        return list(_check_postgresql())
    if connection.vendor == "sqlite":
        return list(_check_sqlite(connection.settings_dict.get("OPTIONS") or {}))
    hint = "Use SQLite or PostgreSQL: the statements that must be fast are written for these two."
    return [checks.Error(f"tmtp does not work with {connection.display_name}.", hint=hint, id="tmtp.E008")]


def _check_postgresql() -> Iterable[checks.CheckMessage]:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        yield checks.Error("psycopg2 is too old.", hint='pip install "psycopg[binary,pool]>=3.3"', id="tmtp.E009")


def _check_sqlite(options: dict[str, Any]) -> Iterable[checks.CheckMessage]:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        hint = "3.35 is needed: a Python built with a newer one, or PostgreSQL."
        yield checks.Error(f"SQLite {sqlite3.sqlite_version} is too old.", hint=hint, id="tmtp.E010")
    if not re.search(r"journal_mode\s*=\s*['\"]?wal", options.get("init_command") or "", re.IGNORECASE):
        message = (
            "SQLite is not told to use a write-ahead log, so those who read and those who write wait for each other."
        )
        yield checks.Warning(message, hint=f"{OPTIONS}.", id="tmtp.W005")
    if options.get("transaction_mode", "").upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        message = "SQLite’s transactions may fail half-way with “database is locked”, since the service writes too."
        yield checks.Warning(message, hint=f"{OPTIONS}.", id="tmtp.W006")


@checks.register("tmtp", checks.Tags.database)
def check_servers(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Check the servers that run, by their leases in the database: W007, W008 and W013."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    try:
        with transaction.atomic(using=DEFAULT_DB_ALIAS):
            alive = ServerLease.objects.using(DEFAULT_DB_ALIAS).filter(seen__gte=fresh())
            hosts = list(alive.values_list("host", flat=True))
            listening = alive.exclude(address="").count()  # not websites, which have a lease for WebSocket
    except DatabaseError:
        return []  # not migrated yet
    return [*_check_pool(), *_check_hosts(hosts, listening)]


def _check_pool() -> Iterable[checks.CheckMessage]:
    prepares = (connections[DEFAULT_DB_ALIAS].settings_dict.get("OPTIONS") or {}).get("prepare_threshold") is not None
    if prepares and is_pooled():
        message = "PostgreSQL is behind a pool such as PgBouncer, which may lose prepared statements."
        hint = (
            'Remove "prepare_threshold" from DATABASES["default"]["OPTIONS"], or let the pool keep a session for each '
            "connection. PgBouncer 1.21 and later can keep prepared statements (max_prepared_statements): silence "
            "tmtp.W013 then."
        )
        yield checks.Warning(message, hint=hint, id="tmtp.W013")


def _check_hosts(hosts: list[str], listening: int) -> Iterable[checks.CheckMessage]:
    if len(set(hosts)) > 1 and connections[DEFAULT_DB_ALIAS].vendor == "sqlite":
        message = f"Servers on {len(set(hosts))} hosts share a SQLite file."
        yield checks.Warning(
            message, hint="Use PostgreSQL: SQLite’s locks do not reach over a network.", id="tmtp.W007"
        )
    if listening > 1 and shared_layer() is None and is_pooled():
        message = (
            f"{listening} servers run behind a pool such as PgBouncer, without a shared channel layer: messages from "
            "one are found by another only when it sweeps its queues."
        )
        hint = (
            "Set CHANNEL_LAYERS to channels_redis.pubsub.RedisPubSubChannelLayer, or connect the servers directly to "
            "PostgreSQL."
        )
        yield checks.Warning(message, hint=hint, id="tmtp.W008")
