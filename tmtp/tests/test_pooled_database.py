"""PostgreSQL with connection pools: PgBouncer in transaction mode, and Django's own with workers that fork."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from conftest import spawn, wait_for
from tmtp.tests import any_site
from tmtp.tests.processes import free_port
from tmtp.tests.sites import Site, full_site, running
from tmtp.tests.test_sites import BEHIND_PGBOUNCER, make_site

pytestmark = pytest.mark.skipif(not os.environ.get("DATABASE_URL"), reason="is about PostgreSQL")

SCENARIOS = [scenario.__name__ for scenario in any_site.SCENARIOS]
CONFIG = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 12
"""
BEHIND = 'DATABASES["default"].update(HOST="127.0.0.1", PORT="{port}")\n'
FORK = """
import os, django
django.setup()
from django.conf import settings
settings.DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1}
from django.db import connection

def session():
    with connection.cursor() as cursor:
        return cursor.execute("SELECT pg_backend_pid()").fetchone()[0]

first = session()
connection.close()  # as django-q2 does before it forks: the connection goes back to the pool
child = os.fork()
if child == 0:
    os._exit(0 if session() != first else 7)
_, status = os.waitpid(child, 0)
session()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
BROADCAST = """
import django
django.setup()
from tmtp.delivery.models import Broadcast
from tmtp.delivery.broadcasts import lifecycle
from tmtp.testing import add_device
from django.contrib.auth import get_user_model
for name in ("ann with news", "bob with news"):
    add_device(get_user_model().objects.create_user(name))
lifecycle.start(Broadcast.objects.create(subject="News", body="All", everyone=True))
"""
WAIT = """
import time

until = time.monotonic() + 40
while not (done := Broadcast.objects.latest("pk").state == Broadcast.State.DONE) and time.monotonic() < until:
    time.sleep(0.1)
print(done)
"""


@pytest.fixture(scope="module")
def pgbouncer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of PgBouncer in transaction mode. If it is missing, skip the test, or fail if CI is set."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing = "PgBouncer is needed: the package pgbouncer"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = tmp_path_factory.mktemp("pgbouncer")
    port = free_port()
    host = parse_qs(urlsplit(os.environ["DATABASE_URL"]).query)["host"][0]
    config = folder / "pgbouncer.ini"
    config.write_text(CONFIG.format(host=host, port=port))
    command = [program, str(config)]
    options: dict[str, Any] = {}
    if os.geteuid() == 0:  # PgBouncer refuses to run as root
        options = {"user": "nobody", "group": folder.stat().st_gid, "extra_groups": []}
        for parent in (folder, *folder.parents):
            if parent.is_relative_to(tmp_path_factory.getbasetemp().parent):
                parent.chmod(0o755)
    with contextlib.ExitStack() as stack:
        spawn(command, folder / "log", signal.SIGINT, stack=stack, **options)
        url = f"postgresql://postgres@127.0.0.1:{port}/mnm"
        wait_for(lambda: psycopg.connect(url).close(), psycopg.OperationalError, folder / "log")
        yield port


@pytest.fixture(scope="module")
def site_and_found(pgbouncer: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, dict[str, str]]:
    settings = BEHIND.format(port=pgbouncer) + 'Q_CLUSTER["workers"] = 2\n'
    return make_site(tmp_path_factory.mktemp("behind"), *BEHIND_PGBOUNCER, settings=settings)


@pytest.fixture(scope="module")
def behind(site_and_found: tuple[Site, dict[str, str]]) -> Site:
    """A site whose database is behind PgBouncer."""
    return site_and_found[0]


@pytest.fixture(scope="module")
def found(site_and_found: tuple[Site, dict[str, str]]) -> dict[str, str]:
    """The tracebacks of its scenarios."""
    return site_and_found[1]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_works_on_any_site(found: dict[str, str], scenario: str) -> None:
    assert found[scenario] == "", found[scenario]


def exchange_messages(site: Site) -> None:
    """Let two devices register, and one post to the other."""
    with site.server() as server, server.client() as ann, server.client() as bob:
        ann.greet()
        bob.greet()
        ann.register("laptop", "ann of troy")
        bob.register("phone", "bob of york")
        for number in range(20):
            header = {"op": 7, "id": str(number), "for": [{"id": bob.uid, "type": 1}]}
            assert "msgid" in ann.ask(header, b"{}e2-e4").header
            assert bob.next_queued("delivery").data == b"{}e2-e4"
        assert server.stop() == 0
        assert "Traceback" not in server.said()
        assert " WARNING " not in server.said()


def test_the_service_behind_pgbouncer(behind: Site) -> None:
    exchange_messages(behind)


def test_the_service_leaves_no_lock_in_pgbouncer(behind: Site) -> None:
    """A lock of a session would be held for as long as PgBouncer keeps the session, though the server is killed."""
    with behind.server() as server:
        server.stop(signal.SIGKILL)
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            query = "SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid"
            (count,) = connection.execute(f"{query} WHERE locktype = 'advisory' AND datname LIKE 'site_%'").fetchone()
    assert count == 0


def test_a_worker_behind_pgbouncer(behind: Site) -> None:
    send(behind)


def test_prepared_statements_are_warned_of(behind: Site, pooled: Site) -> None:
    prepared = 'from settings import *\nDATABASES["default"]["OPTIONS"] = {"prepare_threshold": 5}\n'
    for site in (behind, pooled):
        site.write({"prepared.py": prepared})
    words = ("check", "--database", "default")
    said = behind.manage(*words, DJANGO_SETTINGS_MODULE="prepared")
    assert "tmtp.W013" in said
    assert "prepare_threshold" in said
    assert "tmtp.W013" not in pooled.manage(*words, DJANGO_SETTINGS_MODULE="prepared")


def send(site: Site) -> None:
    """Start a broadcast, and let a worker send it."""
    with running(site, "manage.py", "qcluster"):
        said = site.python("-c", BROADCAST + WAIT)
    log = (site.folder / "log").read_text()
    assert "True" in said.split(), log[-3000:]
    assert "Traceback" not in log, log[-3000:]


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with Django's own pool, at its default size."""
    site = full_site(
        tmp_path_factory.mktemp("pooled"),
        settings='DATABASES["default"]["OPTIONS"] = {"pool": True}\nQ_CLUSTER |= {"workers": 2, "recycle": 1}\n',
    )
    assert "tmtp_delivery.W002" in site.manage_all(["migrate", "-v0"], ["check"])  # a check says what to do about it
    return site


def test_the_service_with_a_pool(pooled: Site) -> None:
    exchange_messages(pooled)


def test_a_worker_with_a_pool(pooled: Site) -> None:
    send(pooled)


def test_a_fork_shares_no_connection(pooled: Site) -> None:
    pooled.python("-c", FORK)
