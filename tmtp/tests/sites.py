"""Throw-away sites: a folder with settings and apps of its own, whose commands run in processes of their own.

    site = full_site(tmp_path, settings='LANGUAGE_CODE = "de"')
    site.manage("migrate")

A site sees what the wheel contains, `tmtp`, and none of the other packages in this repository. `full_site` has all
apps of the wheel, and a database of the kind that the test run is on: a file, or one in its PostgreSQL server.
`new_project` has nothing yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tmtp.testing import Server, running_server
from tmtp.tests.databases import copy_statement

TMTP = Path(__file__).resolve().parents[1]
ALL_APPS = ["tmtp", *sorted(f"tmtp.{path.parent.name}" for path in TMTP.glob("*/apps.py"))]
TIMEOUT = 600  # seconds for one process
COMMANDS = """
import gc, importlib, json, sys
gc.disable()  # it ends soon
from django.core.management import execute_from_command_line
from tmtp.tests.databases import migrate_faster
migrate_faster()
for command in sys.argv[1:]:
    importlib.invalidate_caches()  # a command may have written modules, such as migrations
    execute_from_command_line(["manage.py", *json.loads(command)])
"""


class Site:
    """A site in a folder. `env` is the environment of its processes."""

    def __init__(self, folder: Path, settings: str = "settings") -> None:
        self.folder = folder / "site"
        self.folder.mkdir()
        wheel = folder / "wheel"
        wheel.mkdir()
        (wheel / "tmtp").symlink_to(TMTP)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MNM_", "TMTP_"))}
        path = os.pathsep.join([*map(str, (self.folder, wheel)), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": path}
        self.env = {**kept, "DATABASE_URL": "", **own}

    def write(self, files: Mapping[str, str]) -> None:
        """Append to files, by their paths in the site's folder; create those that do not exist."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)

    def run(self, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments in the site's folder."""
        command = [sys.executable, *map(str, words)]
        options: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
        return subprocess.run(command, cwd=self.folder, env=self.env | env, timeout=TIMEOUT, **options)

    def python(self, *words: str | Path, **env: str) -> str:
        """Do as `run` does, fail unless it succeeds, and return what it wrote."""
        done = self.run(*words, **env)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    def manage(self, *words: str, **env: str) -> str:
        """Run a command of the site and return what it wrote."""
        return self.python("manage.py" if self._manage_py.exists() else "-m", *self._django, *words, **env)

    def manage_all(self, *commands: Sequence[str]) -> str:
        """Run commands one after another in one process, and return what they wrote. A new process costs a second."""
        return self.python("-c", COMMANDS, *map(json.dumps, commands))

    def start(self, stack: contextlib.ExitStack, *words: str, **env: str) -> subprocess.Popen[bytes]:
        """Start Python with these arguments. The process is terminated, later killed, when the stack ends."""
        log = stack.enter_context((self.folder / "log").open("ab"))
        command = [sys.executable, *words]
        process = subprocess.Popen(command, cwd=self.folder, env=self.env | env, stdout=log, stderr=log)
        stack.callback(_end, process)
        return process

    def server(self, **options: Any) -> contextlib.AbstractContextManager[Server]:
        """Run the site's `runtmtp`: see `tmtp.testing.running_server`."""
        return running_server(manage=self._manage_py, env=self.env, **options)

    @property
    def _manage_py(self) -> Path:
        return self.folder / "manage.py"

    @property
    def _django(self) -> list[str]:
        return [] if self._manage_py.exists() else ["django"]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


SETTINGS = f"""
from pathlib import Path
VAR = Path(__file__).parent
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "asgi.application"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles", "django_q", *{ALL_APPS},
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {{"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}},
}}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "admin:login"
STATIC_URL = "static/"
USE_TZ = True
TMTP = {{"SPOOL_DIR": VAR / "spool"}}
TMTP_DELIVERY = {{"SITE_URL": "https://shop.example"}}
Q_CLUSTER = {{"name": "site", "orm": "default", "workers": 1, "poll": 0.1, "timeout": 60, "retry": 120}}
"""
FILES = {
    "urls.py": """
from django.contrib import admin
from django.urls import include, path
admin.site.enable_nav_sidebar = False  # it repeats the index on each page
urlpatterns = [
    path("admin/", admin.site.urls),
    path("messages/", include("tmtp.delivery.urls")),
    path("mailbox/", include("tmtp.mailbox.urls")),
    path("", include("tmtp.pages.urls")),
]
""",
    "asgi.py": """
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
http = get_asgi_application()
from tmtp import routing
from tmtp.consumers import TmtpConsumer
from tmtp.mailbox import routing as mailbox
websocket = URLRouter([*routing.websocket_urlpatterns, *mailbox.websocket_urlpatterns])
application = ProtocolTypeRouter({"http": http, "tcp": TmtpConsumer.as_asgi(), "websocket": websocket})
""",
    "manage.py": """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
}


def full_site(folder: Path, *, settings: str = "", files: Mapping[str, str] | None = None) -> Site:
    """Return a site with all apps of the wheel. `settings` follows the usual ones, and may change them.

    Of FILES, a file in `files` replaces the one with the same name.
    """
    site = Site(folder)
    site.write({"settings.py": SETTINGS + f"DATABASES = {{'default': {database(site.folder)!r}}}\n" + settings})
    site.write({**FILES, **(files or {})})
    return site


def database(folder: Path) -> dict[str, Any]:
    """Return an entry of DATABASES: a file in the folder, or a new database in the PostgreSQL of the test run.

    The server is removed at the end of the run, and all its databases with it.
    """
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        options = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        }
        name = str(folder / f"{secrets.token_hex(4)}.sqlite3")
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    import psycopg

    name = f"site_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(copy_statement(name, "template1"))
    host = parse_qs(urlsplit(url).query)["host"][0]
    return {"ENGINE": "django.db.backends.postgresql", "NAME": name, "USER": "postgres", "HOST": host}


def new_project(folder: Path) -> Site:
    """Return what `django-admin startproject chess` makes, on SQLite, without anything of ours yet."""
    site = Site(folder, "chess.settings")
    site.python("-m", "django", "startproject", "chess", ".")
    return site


@contextlib.contextmanager
def running(site: Site, *words: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these arguments until the block ends."""
    with contextlib.ExitStack() as stack:
        yield site.start(stack, *words, **env)
