"""An existing Django site adds TMTP: INSTALLED_APPS, one line of routing, migrate, runtmtp. Then two clients talk.

It uses nothing of this project's own site: other settings, Django's default SQLite, its own app named `accounts`.
"""

import os

import pytest

from tmtp.testing import ServerFailed
from tmtp.tests.sites import new_project

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


@pytest.fixture
def site(tmp_path):
    return new_project(tmp_path)


@pytest.mark.skipif(os.environ.get("DATABASE_URL", "") != "", reason="is about a site on SQLite")
def test_two_clients_talk(site):
    site.write({"accounts/__init__.py": ""})
    site.write({"accounts/apps.py": APPS})
    site.write({"accounts/models.py": MODELS})
    site.write({"chess/settings.py": SETTINGS})
    site.write({"chess/asgi.py": ROUTING})
    site.manage("makemigrations", "accounts")
    assert "No changes" in site.manage_all(["makemigrations", "--check", "--dry-run"], ["tmtpcert"], ["migrate"])
    # startproject does not set ASGI_APPLICATION; without it, the command prints one clear line
    with pytest.raises(ServerFailed) as error, site.server(cert=site.folder / "tls" / "cert.pem"):
        pass
    assert "CommandError: ASGI_APPLICATION is not set" in str(error.value).splitlines()[-1]
    assert "Traceback" not in str(error.value)
    site.write({"chess/settings.py": APPLICATION})
    with site.server(cert=site.folder / "tls" / "cert.pem") as server, server.client() as ann, server.client() as bob:
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
