"""An existing Django site takes TMTP in: INSTALLED_APPS, one line of routing, migrate, runtmtp; two clients talk.

Nothing of this project's own site is used: other settings, Django's plain SQLite, an app of its own named `accounts`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tmtp
from tmtp.testing import ServerFailed, running_server

pytestmark = pytest.mark.once

MODELS = """
from django.db import models

class User(models.Model):
    name = models.CharField(max_length=20)

class Member(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE)
"""
APPS = """
from django.apps import AppConfig

class AccountsConfig(AppConfig):
    name = "accounts"
"""
SETTINGS = """
INSTALLED_APPS += ["accounts", "tmtp"]
TMTP = {"SITE_NAME": "chess", "CERT": BASE_DIR / "tls" / "cert.pem", "KEY": BASE_DIR / "tls" / "key.pem"}
"""
APPLICATION = """
ASGI_APPLICATION = "chess.asgi.application"
"""
ROUTING = """
from channels.routing import ProtocolTypeRouter
from tmtp.consumers import TmtpConsumer
application = ProtocolTypeRouter({"http": application, "tcp": TmtpConsumer.as_asgi()})
"""
HERE = str(Path(tmtp.__file__).parents[1])
PYTHONPATH = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))


class Site:
    """A site in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("MNM_", "TMTP_"))}
        self.env |= {"DJANGO_SETTINGS_MODULE": "chess.settings", "PYTHONPATH": PYTHONPATH}
        self.run("-m", "django", "startproject", "chess", ".")

    def run(self, *words):
        """Run Python; gives what it wrote."""
        done = subprocess.run([sys.executable, *words], cwd=self.folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def manage(self, *words):
        return self.run("manage.py", *words)

    def add(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    def server(self):
        cert = self.folder / "tls" / "cert.pem"
        return running_server(manage=self.folder / "manage.py", cert=cert, env=self.env)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.mark.skipif(os.environ.get("DATABASE_URL", "") != "", reason="is about a site on SQLite")
def test_two_clients_talk(site):
    site.add("accounts/__init__.py", "")
    site.add("accounts/apps.py", APPS)
    site.add("accounts/models.py", MODELS)
    site.add("chess/settings.py", SETTINGS)
    site.add("chess/asgi.py", ROUTING)
    site.manage("makemigrations", "accounts")
    assert "No changes" in site.manage("makemigrations", "--check", "--dry-run")
    site.manage("tmtpcert")
    site.manage("migrate")
    # startproject does not set ASGI_APPLICATION: who forgets it is told so in one line
    with pytest.raises(ServerFailed) as error, site.server():
        pass
    assert "CommandError: ASGI_APPLICATION is not set" in str(error.value).splitlines()[-1]
    assert "Traceback" not in str(error.value)
    site.add("chess/settings.py", APPLICATION)
    with site.server() as server, server.client() as ann, server.client() as bob:
        assert ann.greet()["name"] == bob.greet()["name"] == "chess"
        ann.register("laptop", "ann of rome")
        bob.register("phone", "bob of ulm")
        ack = ann.ask({"op": 9, "id": "1", "from": "ann of rome", "to": "bob of ulm"}, b"ready?")
        ping = bob.next_queued()
        assert (ping.op, ping.data, ping.id) == ("ping", b"ready?", ack.header["msgid"])
        bob.ask({"op": 7, "id": "1", "for": [{"id": ann.uid, "type": 1}]}, b"e2-e4" * 20_000)
        assert ann.next_queued().data == b"e2-e4" * 20_000
        assert ann.quit()[-1].header["error"] == "logout ok"
        assert server.stop() == 0
        assert "Traceback" not in server.said()
