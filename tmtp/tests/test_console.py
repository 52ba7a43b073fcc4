"""Commands on a console that is not UTF-8 print escapes for the characters that it cannot encode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tmtp.tests.sites import Site, full_site, running

SETTINGS = """
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_q", "tmtp", "tmtp.delivery"]
TMTP |= {"SITE_NAME": "Café “Zur Post”", "CERT": VAR / "tls" / "cert.pem", "KEY": VAR / "tls" / "key.pem"}
"""
# Those apps are enough for the commands, and are loaded and migrated in half the time of all.
FILES = {
    "urls.py": """
from django.urls import include, path
urlpatterns = [path("messages/", include("tmtp.delivery.urls"))]
""",
    "asgi.py": """
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
http = get_asgi_application()
from tmtp.consumers import TmtpConsumer
application = ProtocolTypeRouter({"http": http, "tcp": TmtpConsumer.as_asgi()})
""",
}
ASCII = {"PYTHONIOENCODING": "ascii"}
POSIX = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1:strict"}

# Run each command in a fork, as if in a process of its own. It writes to a file. Print the exit codes.
EACH = """
import importlib, json, os, sys
import django
from django.core.management import execute_from_command_line
django.setup()
importlib.import_module(django.conf.settings.ROOT_URLCONF)  # once for all of them
codes = {}
for name, words in json.loads(sys.argv[1]).items():
    if child := os.fork():
        codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        continue
    file = os.open(f"{name}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    execute_from_command_line(["manage.py", *map(os.fsdecode, map(str.encode, words))])
    sys.exit()
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = full_site(tmp_path_factory.mktemp("console"), settings=SETTINGS, files=FILES)
    site.manage("migrate", "-v0")
    site.write({"body.txt": "“Hello”, Łódź – 東京\n"})
    return site


@pytest.mark.once
@pytest.mark.parametrize("console", [ASCII, POSIX, LATIN], ids=["ascii", "POSIX", "latin-1"])
def test_each_command(site: Site, console: dict[str, str]) -> None:
    for file in (site.folder / "tls").glob("*"):
        file.unlink()
    words = ["broadcast", "--subject", "“Łódź”", "--body-file", "body.txt", "--all"]
    commands = {
        "check": ["check"],
        "tmtpcert": ["tmtpcert"],
        "broadcast": words,
        "wrong": ["broadcast", "--resume", "7000"],
        "help": ["broadcast", "--help"],
        "missing": [*words[:3], "--body-file", "“missing”", "--all"],
    }
    codes = json.loads(site.python("-c", EACH, json.dumps(commands), **console))
    assert codes == {"check": 0, "tmtpcert": 0, "broadcast": 0, "wrong": 1, "help": 0, "missing": 1}
    said = {name: (site.folder / f"{name}.said").read_text("latin-1") for name in commands}
    assert not [name for name, text in said.items() if "UnicodeEncodeError" in text or "Traceback" in text], said
    assert "made a self-signed certificate" in said["tmtpcert"]
    assert r"\u201c\u0141" in said["broadcast"]
    assert "Broadcast 7000 does not exist" in said["wrong"]
    assert "missing" in said["missing"]


@pytest.mark.once
def test_the_service(site: Site) -> None:
    with running(site, "manage.py", "runtmtp", "--plain", "--bind=127.0.0.1:0", **ASCII) as process:
        log = wait_for(site.folder / "log", "TMTP service")
        assert r"Caf\xe9 \u201cZur Post\u201d" in log
        process.terminate()
        assert process.wait(60) == 0


def wait_for(path: Path, word: str) -> str:
    import time

    until = time.monotonic() + 60
    while word not in path.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    return path.read_text()
