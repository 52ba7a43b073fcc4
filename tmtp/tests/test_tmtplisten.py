"""`manage.py tmtplisten`: its device, its user, and what it prints. docs/tutorial.md is tested in a real site."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from tmtp.client import Client, Device, Message, Ping
from tmtp.client.device_file import DeviceFile
from tmtp.management.commands import tmtplisten
from tmtp.management.terminal import printable
from tmtp.models import Alias, Node, User
from tmtp.server.certificate import make_self_signed
from tmtp.services.people import devices
from tmtp.testing import Server

from .conftest import Servers
from .test_client import Arrivals, address, name, someone

pytestmark = pytest.mark.once
OPTIONS = {"save": None, "reply": None, "ping": None, "hello": False, "once": True}


@pytest.fixture(autouse=True)
def certificate(tmp_path: Path, settings: Any) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_self_signed(cert, key, ["localhost"])
    settings.TMTP = {**settings.TMTP, "CERT": str(cert), "KEY": str(key), "BIND": "0.0.0.0:7443"}


@pytest.fixture(scope="module")
def server(server_for: Servers) -> Server:
    return server_for({})


def prepared(alias: str) -> Device:
    """Return the device of an alias, after the command has prepared it."""
    command = tmtplisten.Command(stdout=io.StringIO())
    file = DeviceFile(tmtplisten.default_file(alias))
    command._prepare(file, alias)
    return DeviceFile(tmtplisten.default_file(alias)).device


@pytest.mark.django_db
def test_a_device_is_registered_once_and_again_when_it_is_gone(tmp_path: Path) -> None:
    first = prepared("ann of rome")
    assert first == prepared("ann of rome")
    assert (first.uid, len(first.pin)) == (User.objects.get().uid, 64)
    Alias.objects.all().delete()
    User.objects.all().delete()  # or another database
    assert prepared("ann of rome").uid not in ("", first.uid)


@pytest.mark.django_db
@pytest.mark.parametrize("alias", ["short", "ann of rome", "аnn of rome", " padded name", "x" * 300])
def test_a_name_that_is_refused_leaves_no_user_behind(alias: str) -> None:
    devices.make_node(owner := User.objects.create(uid="5" * 32), "laptop")
    Alias.objects.create(name="ann of rome", skeleton="ann of rome", user=owner)
    with pytest.raises(CommandError, match="name"):
        call_command("tmtplisten", alias)
    assert (User.objects.count(), Node.objects.count()) == (1, 1)
    assert not tmtplisten.default_file(alias).exists()


@pytest.mark.django_db
def test_no_user_is_created_when_the_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "devices").touch()
    with pytest.raises(CommandError, match=r"cannot (read|write) .*ann-of-rome\.json"):
        call_command("tmtplisten", "ann of rome")
    assert not User.objects.exists()


@pytest.mark.django_db
def test_what_is_missing_is_said(settings: Any) -> None:
    with pytest.raises(CommandError, match="HOST:PORT"):
        call_command("tmtplisten", "ann of rome", server="nowhere")
    settings.TMTP = {**settings.TMTP, "CERT": "/nowhere"}
    with pytest.raises(CommandError, match="tmtpcert"):
        call_command("tmtplisten", "ann of rome")
    settings.TMTP = {**settings.TMTP, "KEY": None}
    with pytest.raises(CommandError, match="--device"):
        call_command("tmtplisten", "ann of rome")


def test_it_connects_to_this_machine() -> None:
    assert str(tmtplisten.server_address(None)) == "=127.0.0.1:7443"
    assert str(tmtplisten.server_address("[::]:1")) == "=[::1]:1"
    assert str(tmtplisten.server_address("mnm.example.org:1")) == "=mnm.example.org:1"


@given(st.text())
def test_the_file_is_in_its_folder(alias: str) -> None:
    assert tmtplisten.default_file(alias).parent.name == "devices"
    assert tmtplisten.default_file(alias).resolve().parent.name == "devices"


@given(st.text() | st.text("\x00\x1b[2J\u202e\r\nabc"))
def test_nothing_controls_the_terminal(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(character)[0] for character in shown if character not in "\n\t\u200c\u200d"} <= set(
        "LMNPSZ"
    )
    assert printable("a\tb\n") == "a\tb\n"


async def test_it_prints_saves_answers_and_ends(server: Server, tmp_path: Path) -> None:
    bob, out = Client(address(server), Device(), alias=name("bob")), io.StringIO()
    async with bob:
        pass
    ann = someone(server)
    arrived = Arrivals(ann, Message, Ping)
    async with ann:
        await ann.send(bob.uid, "Hi\x1b[31m", "Two\n\x1b[2Jlines", attachments=[("../a.txt", "A")])
        listening = tmtplisten.Command(stdout=out)._listen(bob, {**OPTIONS, "save": tmp_path, "reply": "Thank you."})
        await listening
        assert (await arrived.next()).text == "Thank you."
        await ann.ping(bob.alias, "Ping")
        await tmtplisten.Command(stdout=out)._listen(bob, {**OPTIONS, "ping": [ann.alias, "First"]})
        assert (await arrived.next()).text == "First"
    assert (tmp_path / "a.txt").read_text() == "A"
    said = out.getvalue()
    assert said.startswith(f"“{bob.alias}” is connected to mnm")
    assert f"{ann.alias} <{ann.uid}>: Hi\ufffd[31m\nTwo\n\ufffd[2Jlines\n" in said
    assert f"attached: a.txt, 1 octets; saved as {tmp_path / 'a.txt'}\n" in said
    assert f"ping from {ann.alias}: Ping\n" in said
    assert "\x1b" not in said
