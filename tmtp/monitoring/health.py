"""Whether the service is well: what a probe asks (`Check`), and what is wrong with the whole of it (`Problem`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext as _

from ..conf import conf
from ..services.storage import room
from .status import Server, Status

COMMIT_LATE = 20.0  # seconds; a server commits at least every five
MEASURED_LATE = 180.0  # seconds; the service is measured each minute
STORE_WAITING = 10_000  # requests
ALMOST_FULL = 4  # times TMTP["MIN_FREE"]


class Check(NamedTuple):
    """One of the things that must be so for a process to be ready."""

    name: str
    ok: bool


class Level(IntEnum):
    """How bad a problem is. The values are the exit statuses that monitoring programs expect of a check."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


class Problem(NamedTuple):
    """Something that is wrong, in words."""

    level: Level
    text: str


_migrated = False  # no migration is undone while a process runs


def check_database() -> list[Check]:
    """Return whether the database answers, and whether all migrations are done."""
    global _migrated
    try:
        if not _migrated:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        return [Check("database", False)]
    return [Check("database", True), Check("migrations", _migrated)]


def check_database_and_disk() -> list[Check]:
    """Return the same, and whether the disks have room. Without the database, nobody knows where its disk is."""
    found = check_database()
    return [*found, check_disk()] if found[0].ok else found


def check_disk() -> Check:
    """Return whether posts are accepted: whether TMTP["MIN_FREE"] octets are free on the disks."""
    return Check("disk", room.is_there() and not full_disks(room.free_on_disks()))


def full_disks(free: dict[str, int], times: int = 1) -> list[str]:
    """Return the disks with less than so many times TMTP["MIN_FREE"] octets free."""
    return [name for name, octets in free.items() if octets < times * int(conf.MIN_FREE)]


def problems(status: Status) -> list[Problem]:
    """Return what is wrong with the service, the worst first."""
    if status.error:
        return [Problem(Level.CRITICAL, _("The database cannot be read (%s).") % status.error)]
    found = [*_of_servers(status), *_of_disks(status), *_of_workers(status)]
    return sorted(found, key=lambda problem: -problem.level)


def level_of(found: list[Problem]) -> Level:
    """Return how bad the worst of these problems is."""
    return max((problem.level for problem in found), default=Level.OK)


def _of_servers(status: Status) -> Iterator[Problem]:
    if not any(server.runs and server.address for server in status.servers):
        yield Problem(Level.CRITICAL, _("No server is running: start “manage.py runtmtp”."))
    for server in status.servers:
        yield from _of_server(server)
    late = status.measured is None or _ago(status.measured) > MEASURED_LATE
    up = max((_ago(server.started) for server in status.servers if server.runs), default=0.0)
    if late and up > MEASURED_LATE:
        yield Problem(Level.WARNING, _("The queues have not been measured for several minutes."))


def _of_server(server: Server) -> Iterator[Problem]:
    values = {"name": server.name}
    if not server.runs:
        yield Problem(
            Level.WARNING,
            _("The server %(name)s was killed, or cannot reach the database.") % values,
        )
        return
    if server.values.get("draining"):
        yield Problem(Level.WARNING, _("The server %(name)s is stopping.") % values)
    if server.values.get("since_commit", 0) + server.age > COMMIT_LATE:
        yield Problem(Level.CRITICAL, _("The server %(name)s is not storing anything.") % values)
    if server.values.get("store_waiting", 0) > STORE_WAITING:
        yield Problem(Level.WARNING, _("The server %(name)s receives more than it can store.") % values)


def _of_disks(status: Status) -> Iterator[Problem]:
    free = status.whole.get("disk_free", {})
    full = full_disks(free)
    for name in full_disks(free, ALMOST_FULL):
        level = Level.CRITICAL if name in full else Level.WARNING
        yield Problem(
            level,
            (
                _("The disk of the spool has only %(free)s free.")
                if name == "spool"
                else _("The disk of the database has only %(free)s free.")
            )
            % {"free": filesizeformat(free[name])},
        )


def _of_workers(status: Status) -> Iterator[Problem]:
    workers = status.whole.get("workers")
    if workers and workers["missing"]:
        yield Problem(Level.WARNING, _("No worker is running: start “manage.py qcluster”."))
    elif workers and workers["lag"] > MEASURED_LATE:
        yield Problem(Level.WARNING, _("Workers are %(seconds)d s behind.") % {"seconds": workers["lag"]})


def _ago(moment: datetime) -> float:
    return (timezone.now() - moment).total_seconds()
