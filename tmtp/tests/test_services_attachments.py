"""Attachments: safe names, and files that change while they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.conf import conf
from tmtp.models import User
from tmtp.services.errors import Refused
from tmtp.services.messages.attachments import attachments_of, safe_name
from tmtp.services.messages.mailbox import Received, messages_of
from tmtp.services.messages.post_format import Person, compose
from tmtp.services.messages.sending import send_message
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.storage.spool import keep

from .people import someone

pytestmark = pytest.mark.django_db


def spooled() -> set[Path]:
    return set(conf.spool_dir.rglob("*/*"))


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("..", "file"),
        ("a/..", "file"),
        ("../", "file"),
        (" ", "file"),
        (None, "file"),
        ("\u202e\u2066", "file"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\bill.pdf", "bill.pdf"),
        ("inv\u202egpj.exe", "invgpj.exe"),
        ("two\r\nlines: yes?.txt", "twolines_ yes_.txt"),
        ("NUL", "_NUL"),
        ("con.txt", "_con.txt"),
        (".profile", ".profile"),
        ("bill.pdf. .", "bill.pdf"),
        ("é" * 300 + ".pdf", "é" * 125 + ".pdf"),
        ("x" * 300, "x" * 255),
    ],
)
def test_the_name_of_a_file(claimed: str | None, name: str) -> None:
    assert safe_name(claimed) == name


@given(
    st.text(st.one_of(st.characters(), st.sampled_from("./\\ \u202e:é👩\u200d"))),
    st.sampled_from(["", ".pdf", ".tar.gz"]),
)
def test_a_name_is_one_that_every_disk_takes(claimed: str, suffix: str) -> None:
    name = safe_name(claimed + suffix)
    assert name not in ("", ".", "..")
    assert not set('/\\<>:"|?*\n\0') & set(name)
    assert len(name.encode()) <= 255
    assert not suffix or name.endswith(suffix.rpartition(".")[2])
    assert safe_name(name) == name


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    ann = someone()
    mailbox = mailbox_of(User.objects.get(pk=ann.user))
    for path in (b"/tmp/\xff.txt", os.fsdecode(b"/tmp/\xff.txt"), "/tmp/a\0b", tmp_path, tmp_path / "gone", "\ud800"):
        with pytest.raises(Refused, match="cannot be attached"):
            send_message(ann.uid, "Files", "", attachments=[path])
    with pytest.raises(Refused, match="cannot be attached"):
        send_message(ann.uid, "Files", "", attachments=[("a.txt", "\ud800")])
    strange = tmp_path / "in\u202ef.txt"
    strange.write_text("x")
    send_message(ann.uid, "Files", "", attachments=[strange])
    assert [file.name for file in Received(messages_of(mailbox)[0]).attachments] == ["inf.txt"]


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("change", ["grows", "shrinks", "goes", "fails"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str, size: int) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(bytes(size))
    (file,) = attachments_of([path])
    if change == "grows":
        path.write_bytes(bytes(size + 1))
    elif change == "shrinks":
        path.write_bytes(bytes(size - 1))
    elif change == "goes":
        path.unlink()
    else:
        path.unlink()
        path.mkdir()
    before = spooled()
    letter = compose(Person("ann of rome", "uid"), "Log", "text", attachments=[file])
    with pytest.raises(Refused, match=r"log\.txt cannot be attached"):
        keep(letter.pieces(), letter.size)
    assert spooled() == before
