"""`tmtpbackup` and `tmtprestore`: a backup that is taken under load has every message that was acknowledged before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
import types
from pathlib import Path

import pytest

import conftest
from tmtp.backup import databases
from tmtp.backup.archive import BackupError, Writer, read_manifest

from .databases import administer, on_postgresql, url_of
from .ledger import Device, Ledger
from .servers import Installation, certificate, installation

CALL = """
import io
from django.core.management import CommandError, call_command
out = io.StringIO()
try:
    call_command({command!r}, {file!r}, stdout=out, stderr=out)
except CommandError as error:
    print(error, file=out)
result = out.getvalue()
"""


def call(other, command, file):
    return other.run(CALL.format(command=command, file=str(file)))


@contextlib.contextmanager
def empty_installation():
    """Return an installation whose database has no tables."""
    folder = Path(tempfile.mkdtemp(prefix="mnm-real-"))
    shutil.copytree(certificate(), folder / "tls")
    name = f"empty_{folder.name.rpartition('-')[2].lower()}"
    if on_postgresql():
        with administer() as admin:
            admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield Installation(folder, url_of(name) if on_postgresql() else "", {})
    finally:
        shutil.rmtree(folder)
        if on_postgresql():
            with administer() as admin:
                admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def programs(monkeypatch):
    """Have commands find the programs of the PostgreSQL that the tests use."""
    if on_postgresql():
        monkeypatch.setenv("PATH", f"{conftest.postgresql_programs()}{os.pathsep}{os.environ['PATH']}")


async def test_what_waits_is_in_a_backup_that_is_taken_under_load(tmp_path, programs):
    """A device that is away gets, from the restored site, a part of what each sender has posted to it.

    It is the first part: all that was acknowledged before the backup began, nothing twice, and nothing changed.
    """
    ledger = Ledger()
    with installation() as site, empty_installation() as new, new.other_process() as restorer:
        with site.serve() as server, site.other_process() as other:
            senders = [Device(f"s{n}", server, ledger) for n in range(3)]
            away = Device("away", server, ledger)
            for device in [*senders, away]:
                await device.join()
            await away.leave()
            stop = asyncio.Event()
            load = [asyncio.create_task(post(sender, senders, away, stop)) for sender in senders]
            while len(ledger.acked) < 30:
                await asyncio.sleep(0.02)
            before = {each.msgid for each in ledger.acked if away in each.to}
            said = await asyncio.to_thread(call, other, "tmtpbackup", tmp_path / "backup.tar")
            assert "the database and" in said, said
            at_end = len(ledger.posts)
            while len(ledger.posts) < at_end + 5:
                await asyncio.sleep(0.02)
            stop.set()
            await asyncio.gather(*load)
            assert not list((site.folder / "spool").glob("backup-*"))
            for sender in senders:
                await sender.leave()
        assert "restored" in await asyncio.to_thread(call, restorer, "tmtprestore", tmp_path / "backup.tar")
        with new.serve() as server:
            away.server = server
            away.come_back()
            async with asyncio.timeout(60):
                while not before <= away.received.keys():
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
            await away.leave()
        assert "is not empty" in await asyncio.to_thread(call, restorer, "tmtprestore", tmp_path / "backup.tar")
    posted = {each.msgid: each for each in ledger.posts.values()}
    for msgid, body in away.received.items():
        assert posted[msgid].body == body
    for sender in senders:
        numbers = [each.msgid for each in ledger.posts.values() if each.sender is sender and away in each.to]
        got = [msgid in away.received for msgid in numbers]
        assert got == sorted(got, reverse=True), "a gap"
    ledger.check_wrong()


async def post(sender, senders, away, stop):
    """Post to the device that is away, and large bodies, whose files soon vanish, to one that is not."""
    number = 0
    while not stop.is_set():
        number += 2
        await sender.post(number, [away], 100_000 if number % 8 == 0 else 50)
        await sender.post(number + 1, [next(each for each in senders if each is not sender)], 90_000)


# archives that cannot be restored


@pytest.fixture
def archive(tmp_path):
    """Return a function that writes an archive."""

    def write(vendor="sqlite", **files):
        with contextlib.closing(sqlite3.connect(tmp_path / "database")) as database:
            database.execute("CREATE TABLE tmtp_message (spool text)")
            database.commit()
        path = tmp_path / "backup.tar"
        writer = Writer(path)
        writer.add("database", tmp_path / "database")
        for name, octets in files.items():
            (tmp_path / name).write_bytes(octets)
            writer.add(f"spool/{name}", tmp_path / name)
        writer.finish({"vendor": vendor, "made": "now"})
        return path

    return write


NAME = "0" * 32


def test_a_manifest_lists_all_files(archive):
    files = read_manifest(archive(**{NAME: b"body"}))["files"]
    assert (files.keys(), files[f"spool/{NAME}"]["size"]) == ({"database", f"spool/{NAME}"}, 4)


@pytest.mark.parametrize("part", range(8))
def test_a_changed_octet_is_noticed(archive, part):
    path = archive(**{NAME: b"body" * 1000})
    octets = bytearray(path.read_bytes())
    was = read_manifest(path)["files"]
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    at = (last.offset_data + last.size) * part // 8 + 100
    octets[at] ^= 1
    path.write_bytes(octets)
    try:
        files = read_manifest(path)["files"]
    except BackupError:
        return
    assert files == was  # the octet means nothing, such as a time in a header


@pytest.mark.parametrize("part", range(8))
def test_an_archive_that_was_cut_off_is_refused(archive, part):
    path = archive(**{NAME: b"body" * 1000})
    octets = path.read_bytes()
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    path.write_bytes(octets[: (last.offset_data + last.size) * part // 8])
    with pytest.raises(BackupError):
        read_manifest(path)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "file").write_text("hello" * 1000)
    for path in (tmp_path / "file", tmp_path / "none", tmp_path):
        with pytest.raises(BackupError, match=str(path)):
            read_manifest(path)


def test_an_archive_with_a_strange_name_in_it_is_refused(tmp_path):
    path = tmp_path / "backup.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, "../../etc/passwd")
    with pytest.raises(BackupError, match="unexpected"):
        read_manifest(path)


@pytest.mark.parametrize("manifest", [b"[" * 100_000, b"[]", b"\xff"])
def test_a_manifest_that_is_none_is_refused(tmp_path, manifest):
    (tmp_path / "manifest.json").write_bytes(manifest)
    with tarfile.open(tmp_path / "backup.tar", "w") as tar:
        tar.add(tmp_path / "manifest.json", "manifest.json")
    with pytest.raises(BackupError, match="manifest cannot be read"):
        read_manifest(tmp_path / "backup.tar")


@pytest.mark.parametrize("sparse", [False, True])
def test_a_size_that_no_file_has_is_refused(tmp_path, sparse):
    entry = tarfile.TarInfo("database")
    entry.size = 2**62 if sparse else 2**66
    if sparse:
        entry.size, entry.pax_headers = 0, {"GNU.sparse.size": f"{2**62}", "GNU.sparse.map": "0,0"}
    path = tmp_path / "backup.tar"
    path.write_bytes(entry.tobuf(tarfile.PAX_FORMAT if sparse else tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(BackupError, match=r"damaged"):
        read_manifest(path)


@pytest.mark.parametrize("octets", [b"", b"junk" * 1000, b"SQLite format 3\0" + b"junk" * 1000])
def test_a_database_that_is_none_is_refused(tmp_path, octets):
    (tmp_path / "database").write_bytes(octets)
    with pytest.raises(BackupError, match="the database in the backup is damaged"):
        databases._check_sqlite(tmp_path / "database")


@pytest.mark.django_db
def test_a_backup_of_another_database_is_refused(archive):
    from tmtp.backup.restoring import restore

    with pytest.raises(BackupError, match="Oracle"):
        restore(archive(vendor="Oracle"))


@pytest.mark.django_db
def test_a_database_that_is_not_empty_is_refused(monkeypatch):
    monkeypatch.setattr(databases.connection, "close", lambda: None)
    with pytest.raises(BackupError, match=r"(not empty|in memory)"):
        databases.check_empty()


def test_a_name_that_is_too_long_is_refused(tmp_path):
    from tmtp.backup.taking import back_up

    with pytest.raises(BackupError, match="too long"):
        back_up(tmp_path / ("n" * 300))


def test_a_database_without_tables_is_not_backed_up(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "_sqlite_path", lambda: tmp_path / "empty")
    monkeypatch.setattr(databases, "connection", types.SimpleNamespace(vendor="sqlite"))
    with pytest.raises(BackupError, match="no such table"), databases.snapshot() as found:
        found.spooled()


def test_a_file_that_exists_is_not_replaced(tmp_path):
    from tmtp.backup.taking import back_up

    (tmp_path / "backup.tar").write_text("precious")
    with pytest.raises(BackupError, match="exists"):
        back_up(tmp_path / "backup.tar")
    assert (tmp_path / "backup.tar").read_text() == "precious"
