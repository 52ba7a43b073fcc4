"""Messages whose files are missing, damaged or out of reach. Everything else works, and so do they later."""

from __future__ import annotations

import io
import logging
import shutil
import zipfile
from contextlib import suppress

import pytest

from tmtp.backup.archive import Writer, read_manifest
from tmtp.mailbox import index, sending
from tmtp.mailbox.models import Entry, Thread
from tmtp.members_data import exporting
from tmtp.models import Message
from tmtp.services.messages import posting
from tmtp.services.messages.post_format import Person, compose
from tmtp.services.messages.posts import Post
from tmtp.services.storage import copies, spool, unreadable
from tmtp.services.storage.unreadable import Unreadable
from tmtp.tests.buckets import use_bucket
from tmtp.tests.people import to

from .mailboxes import letter, page, received, url

pytestmark = [pytest.mark.django_db, pytest.mark.once]
CANNOT = "This message cannot be read at the moment."
LARGE = "a large letter " + "x" * 100_000


def _loop(path):
    path.unlink(missing_ok=True)
    path.symlink_to(path)


def _folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "longer": lambda path: path.write_bytes(path.read_bytes() * 2),
    "loop": _loop,
    "folder": _folder,
}


@pytest.fixture(autouse=True)
def _own_spool(settings, tmp_path, monkeypatch):
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path / "spool")}
    monkeypatch.setattr(unreadable, "_reported", {})


def long_letter(sender, subject, node):
    """Send a letter whose body is in the spool, and return its msgid."""
    made = compose(Person("bob the second", sender.uid), subject, LARGE)
    body = spool.keep(made.pieces(), made.size)
    (number,) = posting.post([Post(sender, to(node.user), body, made.datahead)])
    return f"{number:016x}"


def file_of(node):
    """Return the path of the one file that a mailbox has in the spool."""
    return next(spool.path(one.message.spool) for one in received(node) if one.message.spool)


def mend(path, whole):
    """Make a file what it was."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_it_is_shown_as_unreadable_until_it_can_be_read(browser, ann, bob, caplog, damage):
    msgid = long_letter(bob, "A long story", ann)
    letter(bob, "bob the second", "A short one", "readable", ann.user)
    path = file_of(ann)
    whole = path.read_bytes()
    damage(path)
    shown = page(browser, "mailbox")
    assert CANNOT in shown
    assert "A short one" in shown
    thread = Entry.objects.get(node=ann, number=int(msgid, 16)).thread
    for _again in range(2):
        assert CANNOT in page(browser, "thread", thread.pk)
    assert "A short one" in page(browser, "search", query="?q=readable")
    assert browser.get(url("message_text", msgid)).status_code in (404, 503)
    assert browser.get(url("message_report", msgid)).status_code in (200, 404, 503)
    assert browser.get(url("compose", query=f"?quote={msgid}")).status_code == 200
    assert b"".join(exporting.export(ann.user))
    assert Entry.objects.get(node=ann, number=int(msgid, 16)).read is None, "nobody has read it"
    errors = [one for one in caplog.records if one.name == "tmtp" and one.levelno >= logging.ERROR]
    assert len(errors) == 1, "the log says it once"
    assert path.name in errors[0].getMessage()
    mend(path, whole)
    assert "A long story" in page(browser, "mailbox")
    assert "A long story" in page(browser, "search", query="?q=large")
    assert Thread.objects.filter(node=ann).count() == 2
    assert not Entry.objects.filter(node=ann, unreadable__isnull=False).exists()
    assert sum("can be read again" in one.getMessage() for one in caplog.records) == 1


def test_a_message_that_has_been_read_before(browser, ann, bob):
    msgid = long_letter(bob, "A long story", ann)
    page(browser, "mailbox")
    thread = Thread.objects.get(node=ann)
    file_of(ann).unlink()
    shown = page(browser, "thread", thread.pk)
    assert CANNOT in shown
    assert "A long story" in shown
    data = {"alias": "ann the first", "text": "All the same", "once": "1" * 32, "to": ""}
    assert browser.post(url("thread", thread.pk), data).status_code in (200, 302)
    assert sending.readers_of(ann, thread).users[0].uid == bob.uid
    assert msgid in shown


def test_a_disk_that_fails_while_it_is_read():
    with unreadable.BodyFile("/proc/self/mem", "a body") as file, pytest.raises(Unreadable, match="Input/output"):
        file.read(10)


def test_many_that_cannot_be_read_hold_up_nobody(ann, bob):
    """Neither the messages after them nor each other: those that were tried least recently are tried next."""
    for number in range(index.AGAIN_AT_ONCE + 2):
        long_letter(bob, f"No. {number}", ann)
    files = [spool.path(one.message.spool) for one in received(ann)]
    whole = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    assert index.catch_up(ann)
    letter(bob, "bob the second", "Last", "readable", ann.user)
    assert index.catch_up(ann)
    assert Entry.objects.get(node=ann, unreadable=None).subject == "Last"
    mend(files[-1], whole[-1])
    index.catch_up(ann)
    index.catch_up(ann)
    assert Entry.objects.filter(node=ann, unreadable=None).count() == 2
    for file, octets in zip(files, whole, strict=True):
        mend(file, octets)
    assert index.catch_up(ann)
    assert sorted(Entry.objects.filter(node=ann).values_list("subject", flat=True)) == [
        "Last",
        *(f"No. {number}" for number in range(index.AGAIN_AT_ONCE + 2)),
    ]


def test_a_storage_that_is_away(browser, ann, bob, settings, tmp_path, monkeypatch):
    bucket = use_bucket(settings, tmp_path, monkeypatch)
    long_letter(bob, "A long story", ann)
    (message,) = received(ann)
    copies.path(message.message.spool).unlink()
    bucket.is_away = True
    letter(bob, "bob the second", "A short one", "readable", ann.user)
    shown = page(browser, "mailbox")
    assert CANNOT in shown
    assert "A short one" in shown
    assert b"its storage does not answer" in zipped_list(ann)
    bucket.is_away = False
    assert "A long story" in page(browser, "mailbox")


def zipped_list(node):
    """Return the list of messages in the export of a member's data."""
    archive = zipfile.ZipFile(io.BytesIO(b"".join(exporting.export(node.user))))
    return archive.read("messages.json")


def test_news_for_devices_that_cannot_be_read_wait(ann, bob):
    """They are not acknowledged: a notification adds people to a thread once it can be read."""
    long_letter(bob, "A long story", ann)
    Message.objects.update(op="notify", head=Message.objects.get().head)
    path = file_of(ann)
    whole = path.read_bytes()
    path.unlink()
    assert index.catch_up(ann)
    assert not Entry.objects.filter(node=ann).exists()
    assert len(received(ann)) == 1
    mend(path, whole)
    assert index.catch_up(ann)
    assert received(ann) == [], "it was read, and has nothing for a person to read"


class Failing(unreadable.BodyFile):
    """A file on a disk that fails."""

    def read(self, size=-1, /):
        raise Unreadable(5, "Input/output error")


def test_a_backup_goes_on_without_it(tmp_path, monkeypatch):
    (tmp_path / "good").write_bytes(b"good")
    writer = Writer(tmp_path / "backup.tar")
    writer.add("database", tmp_path / "good")
    _loop(tmp_path / "loop")
    for bad in (tmp_path / "loop", tmp_path):
        with pytest.raises(Unreadable):
            writer.add(f"spool/{'0' * 32}", bad)
    with monkeypatch.context() as patch, pytest.raises(Unreadable):
        patch.setattr("tmtp.backup.archive.BodyFile", Failing)
        writer.add(f"spool/{'2' * 32}", tmp_path / "good")
    writer.add(f"spool/{'1' * 32}", tmp_path / "good")
    writer.finish({"vendor": "sqlite"})
    assert set(read_manifest(tmp_path / "backup.tar")["files"]) == {"database", f"spool/{'1' * 32}"}
