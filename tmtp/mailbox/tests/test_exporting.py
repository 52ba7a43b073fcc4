"""An export contains all of a member, and each message in it is an e-mail that says and holds the same."""

from __future__ import annotations

import email
import io
import json
import zipfile
from email.header import decode_header, make_header
from email.policy import default
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from tmtp.mailbox.models import Draft, Thread
from tmtp.members_data import exporting
from tmtp.members_data.archive import LARGE, Part, zipped
from tmtp.members_data.eml import _address, _encoded, _headers_of_file, eml
from tmtp.models import AuditEntry, Message, RunningExport, User
from tmtp.services.errors import Refused
from tmtp.services.messages import posting
from tmtp.services.messages.mailbox import Received
from tmtp.services.messages.post_format import FILE, Attached, Person
from tmtp.services.text import visible

from .mailboxes import letter, member, person, sender_of, threads

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ANN, BOB = "Ann of Rome", "Bob “der Bär” of Rome"
TEXT = "Hello *Ann*,\r\n\tä line\n" + "x" * 2000 + "\n\n"


def archive_of(user: Any) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(exporting.export(user))))


def mails_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the e-mails by their subject."""
    names = [name for name in archive.namelist() if name.endswith(".eml")]
    mails = [email.message_from_bytes(archive.read(name), policy=default) for name in names]
    return {str(mail["Subject"]): mail for mail in mails}


def test_messages_come_back_bit_for_bit() -> None:
    (_, ann), (_, bob) = member(ANN), member(BOB)
    contents = {"größe & Co.bin": bytes(range(256)) * 999, 'a "b".txt': b"\r\n.\r\nFrom me\n", "leer.pdf": b""}
    files = [SimpleUploadedFile(name, content) for name, content in contents.items()]
    a, b = sender_of(ann), sender_of(bob)
    subject = "Über den Bären, " * 20
    first = letter(b, BOB, subject, TEXT, a, readers=[person(b, BOB), person(a, ANN)], files=files)
    letter(a, ANN, "Re", "Yes", a, b, thread=first)
    posting.ping(b, BOB, ANN, b"Are you there?")
    with archive_of(ann.user) as archive:
        assert archive.testzip() is None
        mails, listed = mails_of(archive), json.loads(archive.read("messages.json"))
        assert {one["file"] for one in listed if "file" in one} == {
            name for name in archive.namelist() if name.endswith(".eml")
        }
        assert [one["file"].split("/")[1] for one in listed] == ["received", "sent", "received"]
    mail = mails[subject.strip()]
    assert str(mail["From"]) == f'"{BOB}" <{b.uid}@site.invalid>' or mail["From"].addresses[0].display_name == BOB
    assert [(one.display_name, one.username) for one in mail["To"].addresses] == [(BOB, b.uid), (ANN, a.uid)]
    assert mail["Message-ID"] == f"<{first}@site.invalid>"
    assert mail.get_body(("plain",)).get_payload(decode=True) == TEXT.encode()
    assert "<em>Ann</em>" in mail.get_body(("html",)).get_content()
    found = {part.get_filename(): part.get_payload(decode=True) for part in mail.iter_attachments()}
    assert found == {name.replace('"', "_"): content for name, content in contents.items()}
    assert mails["Re"]["References"] == f"<{first}@site.invalid>"
    assert mails["Ping"].get_body(("plain",)).get_payload(decode=True) == b"Are you there?"
    assert not any(mail.defects for mail in mails.values())


NAMES = st.text(max_size=300) | st.text(st.sampled_from('=?utf-8qb <>@,;"\\\r\nä'), max_size=100)


@given(NAMES, NAMES)
def test_any_name_and_subject_survive(name: str, subject: str) -> None:
    raw = f"From: {_address(Person(name, 'nobody'))}\r\nSubject: {_encoded(subject, 9)}\r\n\r\n"
    mail = email.message_from_bytes(raw.encode(), policy=default)
    assert max(map(len, raw.split("\r\n"))) <= 998
    assert str(mail["Subject"]) == visible(subject)
    assert mail.keys() == ["From", "Subject"]
    # With its default policy, Python puts a space between encoded words of a name, against RFC 2047, section 6.2.
    shown, address = parseaddr(email.message_from_bytes(raw.encode())["From"])
    assert address.endswith("@site.invalid")
    assert str(make_header(decode_header(shown))) == (visible(name) or "nobody")


HEADS = st.recursive(
    st.none()
    | st.integers(-1, 400)
    | st.sampled_from(["alias", "u:x\r\nX: y", "\ud800", "a" * 2000])
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["alias", "subject", "threadid", "cc", "attach", "who", "name", "size"]), inner
        )
    ),
    max_leaves=12,
)


@given(HEADS.map(json.dumps).map(str.encode) | st.binary(max_size=100), st.binary(max_size=300), st.integers(0, 500))
def test_whatever_a_stranger_sends_is_one_email(head: bytes, rest: bytes, datahead: int) -> None:
    body = head + rest
    header = {"op": "delivery", "from": "x\r\nX-Evil: y", "datahead": datahead if datahead > 400 else len(head)}
    frame = b"0000" + json.dumps(header).encode()
    message = Message(pk=2**60, op="delivery", head=frame, body=body, size=len(body))
    received = Received(message)
    received.__dict__["names"] = {}
    mail = email.message_from_bytes(b"".join(eml(received, User(uid="B" * 32), "Ann of Rome")), policy=default)
    assert not [part.defects for part in mail.walk() if part.defects]
    assert set(mail.keys()) <= MAIL_HEADERS
    assert mail.get_body(("plain",)).get_payload(decode=True) == b"".join(received.pieces(text_of(received)))
    files = [part.get_payload(decode=True) for part in mail.iter_attachments()]
    assert files == [b"".join(received.pieces(one)) for one in received.attachments]


MAIL_HEADERS = {"Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References", "X-TMTP-Message"}
MAIL_HEADERS |= {"MIME-Version", "Content-Type"}


def text_of(received: Received) -> Attached:
    return Attached("text", FILE, received.head.text_at, received.head.text_size)


@given(st.text(max_size=200))
def test_any_file_name_survives(name: str) -> None:
    from tmtp.services.messages.attachments import safe_name

    attached = Attached(safe_name(name), FILE, 0, 0)
    mail = email.message_from_string("\r\n".join(_headers_of_file(attached)) + "\r\n\r\n", policy=default)
    assert mail.get_filename() == attached.name
    assert mail.get_content_maintype() not in ("message", "multipart")


def test_what_is_not_a_message() -> None:
    (account, ann), (_, bob) = member(ANN), member(BOB)
    letter(sender_of(bob), BOB, "Star", "x", sender_of(ann))
    threads(ann)
    Thread.objects.filter(node=ann).update(starred=True)
    account.set_password("correct horse")
    account.save()
    draft = Draft.objects.create(node=ann, subject="Later", changed="2026-01-01T00:00Z")
    draft.files.create(name="../../etc/passwd", size=3, body=b"abc")
    draft.files.create(name="ä" * 127, size=4, body=b"abcd")
    with archive_of(ann.user) as archive:
        names = archive.namelist()
        everything = b"".join(archive.read(name) for name in names)
        read = {name: json.loads(archive.read(name)) for name in names if name.endswith(".json")}
        assert archive.read(f"mailbox/drafts/{draft.pk}/{draft.files.get(size=3).pk}/passwd") == b"abc"
    assert read["profile.json"]["account"]["username"] == account.username
    assert read["names.json"][0]["name"] == ANN
    assert [one["starred"] for one in read["mailbox/threads.json"]] == [True]
    assert read["mailbox/drafts.json"][0]["subject"] == "Later"
    assert {"devices.json", "groups.json", "blocked.json", "audit.json", "sign-in.json", "notifications.json"} <= set(
        read
    )
    assert account.password.encode() not in everything
    assert all(len(part.encode()) <= 255 for name in names for part in name.split("/"))
    assert not [name for name in names if ".." in name or name.startswith("/")]


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


DAMAGES = {
    "removed": (Path.unlink, "removed during the export, or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "removed during the export, or damaged"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:1000]), "removed during the export, or damaged"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() * 2), "removed during the export, or damaged"),
    "unreadable": (loop, "it cannot be read at the moment"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_message_that_is_removed_meanwhile_or_damaged_is_listed(
    settings: Any, tmp_path: Path, damage: Any, reason: str
) -> None:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path)}
    (_, ann), (_, bob) = member(ANN), member(BOB)
    file = SimpleUploadedFile("large.bin", b"x" * 200_000)
    letter(sender_of(bob), BOB, "Kept", "x", sender_of(ann))
    from tmtp.mailbox import sending
    from tmtp.mailbox.sending import Readers

    sending.write(bob, BOB, Readers([person(sender_of(ann), ANN)]), "Gone", "x", files=[file])
    for one in tmp_path.rglob("*"):
        if one.is_file():
            damage(one)
    with archive_of(ann.user) as archive:
        assert archive.testzip() is None
        listed = json.loads(archive.read("messages.json"))
        assert list(mails_of(archive)) == ["Kept"]
    assert [one.get("left_out") for one in listed] == [None, reason]


def test_little_is_in_memory() -> None:
    piece = bytes(64 * 1024)
    made = 0

    def content() -> Any:
        nonlocal made
        for _ in range(400):
            made += 1
            yield piece

    stored = zipped([Part("large", content(), LARGE + 1)])
    sizes = [len(one) for one in stored]
    assert made == 400
    assert max(sizes) < 4 * 64 * 1024


def test_the_page(client: Any) -> None:
    account, ann = member(ANN)
    client.force_login(account)
    url = reverse("tmtp_pages:export")
    session = client.session
    session["confirmed_at"] = 0
    session.save()
    assert client.post(url).status_code == 302
    assert not AuditEntry.objects.exists()
    client.force_login(account)
    assert client.get(url).status_code == 200
    answer = client.post(url)
    with pytest.raises(Refused, match="is being exported"):
        exporting.export_for_member(ann.user)
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert "profile.json" in archive.namelist()
    assert "attachment" in answer["Content-Disposition"]
    assert not RunningExport.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.by, entry.about) == ("exported", "member", account.username)


def test_so_many_a_day(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"exports_per_user": 1}}
    _, ann = member(ANN)
    b"".join(exporting.export_for_member(ann.user))
    with pytest.raises(Refused, match="as often as is allowed"):
        exporting.export_for_member(ann.user)


def test_who_breaks_off_may_begin_anew() -> None:
    _, ann = member(ANN)
    pieces = exporting.export_for_member(ann.user)
    next(pieces)
    pieces.close()
    assert not RunningExport.objects.exists()


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    account, ann = member(ANN)
    file = tmp_path / "ann.zip"
    call_command("tmtpexport", account.username, file)
    assert f"{file}: {file.stat().st_size} octets" in capsys.readouterr().out
    assert zipfile.ZipFile(file).testzip() is None
    assert [one.name for one in tmp_path.iterdir()] == ["ann.zip"]
    for user, where, why in ((ANN, file, "exists already"), ("nobody", tmp_path / "x", "not found")):
        with pytest.raises(CommandError, match=why):
            call_command("tmtpexport", user, where)
    with pytest.raises(CommandError, match="No such file"):
        call_command("tmtpexport", ann.user.uid, tmp_path / "none" / "x.zip")
