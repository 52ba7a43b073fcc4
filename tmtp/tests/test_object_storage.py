"""Bodies in a storage: it has each before its message is acknowledged, and loses none. With a folder, and a bucket."""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tmtp.backup import restoring, taking
from tmtp.backup.archive import BackupError
from tmtp.checks import object_storage as checks
from tmtp.links.uploads import Incoming
from tmtp.models import Message
from tmtp.services.errors import Refused
from tmtp.services.messages import sending, spool_sweeping
from tmtp.services.messages.mailbox import Received
from tmtp.services.messages.spool_sweeping import SpoolSweeper
from tmtp.services.storage import copies, object_storage, spool
from tmtp.services.storage.object_storage import StorageUnavailable
from tmtp.services.storage.spool import Spooled

from .buckets import Bucket, use_bucket
from .people import forget, someone
from .processes import free_port, until
from .raw_client import Client
from .servers import Installation, installation

pytestmark = pytest.mark.once
BODY = random.Random(1).randbytes(100_000)


@pytest.fixture
def bucket(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return use_bucket(settings, tmp_path, monkeypatch)


def keep(octets: bytes = BODY) -> str:
    body = spool.keep([octets], len(octets))
    assert isinstance(body, Spooled)
    return body.name


def stored(bucket: Bucket) -> set[str]:
    return {path.name for path in Path(bucket.location).rglob("*") if path.is_file()}


def here(settings: Any) -> list[str]:
    return [path.name for path in Path(settings.TMTP["SPOOL_DIR"]).rglob("*") if path.is_file()]


def octets(name: str) -> bytes:
    with spool.open_body(name) as file:
        return file.read()


def lose_copy(name: str) -> None:
    """Do as if this were another host."""
    copies.path(name).unlink()


def moved_to(settings: Any, folder: Path) -> None:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(folder)}


def test_a_body_is_stored_and_read_from_the_copy_and_from_the_storage(bucket: Bucket, settings: Any) -> None:
    name = keep()
    assert stored(bucket) == {name}
    assert here(settings) == [name]
    bucket.is_away = True
    assert octets(name) == BODY
    bucket.is_away = False
    lose_copy(name)
    assert octets(name) == BODY
    assert here(settings) == [name], "it is fetched once"


def test_a_body_that_is_discarded_is_nowhere(bucket: Bucket, settings: Any) -> None:
    name, other = keep(), keep()
    spool.discard([name], wait=True)
    assert stored(bucket) == {other}
    assert here(settings) == [other]
    with pytest.raises(FileNotFoundError):
        spool.open_body(name)


async def test_an_upload_is_stored_before_it_is_taken(bucket: Bucket) -> None:
    incoming = Incoming(b"", [100_000, 3])
    await incoming.add(BODY + b"abc")
    body, small = incoming.take()
    assert isinstance(body, Spooled)
    assert small == b"abc"
    assert stored(bucket) == {body.name}


async def test_an_upload_to_a_storage_that_is_away_is_refused_and_leaves_nothing(
    bucket: Bucket, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.is_away = True
    for _ in range(3):
        incoming = Incoming(b"", [100_000])
        await incoming.add(BODY)
        assert isinstance(incoming.error, StorageUnavailable)
        incoming.abandon()
    with pytest.raises(Refused, match="the storage of large bodies does not answer"):
        keep()
    assert here(settings) == []
    assert stored(bucket) == set()
    assert len([line for line in caplog.messages if "fails to store" in line]) == 1
    bucket.is_away = False
    assert octets(keep()) == BODY
    assert caplog.messages[-1] == "the storage of large bodies can store again"


def test_what_has_failed_is_not_tried_at_once(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "PAUSE", 60)
    name = keep()
    bucket.is_away = True
    with pytest.raises(Refused):
        keep()
    bucket.is_away = False
    with pytest.raises(Refused):
        keep()
    lose_copy(name)
    assert octets(name) == BODY, "reading has not failed"


def test_a_storage_that_is_away_or_empty_loses_no_body(bucket: Bucket, tmp_path: Path) -> None:
    name, _ = keep(), keep()
    lose_copy(name)
    bucket.is_away = True
    with pytest.raises(StorageUnavailable):
        spool.open_body(name)
    bucket.is_away = False
    (tmp_path / "bucket").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable):
        spool.open_body(name)
    (tmp_path / "elsewhere").rename(tmp_path / "bucket")
    assert octets(name) == BODY


def test_a_storage_that_stores_under_another_name_is_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(bucket, "get_available_name", lambda name, max_length=None: name + "_1")
    with pytest.raises(Refused):
        keep()
    assert here(settings) == []
    assert stored(bucket) == set()


def test_copies_are_limited_but_not_those_of_a_moment_ago(bucket: Bucket, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "SPOOL_CACHE": 250_000}
    names = [keep() for _ in range(5)]
    assert sorted(here(settings)) == sorted(names), "somebody is about to read them"
    for age, name in enumerate(names):
        then = time.time() - 100 - age
        os.utime(copies.path(name), (then, then))
    last = keep()
    assert sorted(here(settings)) == sorted([last, names[0]]), "the newest ones"
    assert octets(names[4]) == BODY
    then = time.time() - 2 * copies.KEPT
    os.utime(copies.path(last), (then, then))
    copies.trim()
    assert last not in here(settings), "too old"


@pytest.mark.django_db
def test_a_crash_before_the_commit_leaves_a_body_that_is_swept(bucket: Bucket, settings: Any) -> None:
    ann = someone("ann of rome")
    orphan = keep()
    sending.send_message("ann of rome", "subject", "text", attachments=[("file", BODY)])
    kept = Message.objects.get(spool__gt="").spool
    assert stored(bucket) == {orphan, kept}
    assert spool_sweeping.sweep_storage() == 0, "it may be on its way into the database"
    assert spool_sweeping.sweep_storage(older_than=-1) == 1
    assert stored(bucket) == {kept}
    received = Received(Message.objects.get(spool=kept))
    lose_copy(kept)
    assert b"".join(received.pieces(received.attachments[-1])) == BODY
    assert received.text == "text"
    forget(ann)


@pytest.mark.django_db
def test_files_that_are_not_bodies_are_never_swept(bucket: Bucket) -> None:
    orphan = keep()
    for name in (f"{orphan[:2]}/{'0' * 32}", f"tmtp-spool/{orphan[:2]}/photo.jpg"):
        path = Path(bucket.location) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert spool_sweeping.sweep_storage(older_than=-1) == 1
    assert stored(bucket) == {"0" * 32, "photo.jpg"}


@pytest.mark.django_db
def test_a_site_sweeps_no_storage_of_another(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert object_storage.belongs_to("the uid of a site")
    assert object_storage.belongs_to("the uid of a site")
    swept: list[Any] = []
    monkeypatch.setattr(spool_sweeping, "sweep_storage", swept.extend)
    sweeper = SpoolSweeper()
    sweeper.look()
    sweeper.look()
    assert not swept
    assert len([line for line in caplog.messages if "belongs to another site" in line]) == 1
    bucket.delete(object_storage.OWNER)
    SpoolSweeper().look()
    assert len(swept) == 1


@pytest.mark.django_db
def test_bodies_from_before_there_was_a_storage_are_stored(bucket: Bucket, settings: Any, tmp_path: Path) -> None:
    with_storage, without = dict(settings.TMTP), {**settings.TMTP, "SPOOL_STORAGE": ""}
    settings.TMTP = without
    someone("ann of rome")
    sending.send_message("ann of rome", "subject", "text", attachments=[("file", BODY)])
    unfinished = keep()
    name = Message.objects.get(spool__gt="").spool
    settings.TMTP = with_storage
    assert octets(name)
    bucket.is_away = True
    sweeper = SpoolSweeper()
    sweeper.look()
    bucket.is_away = False
    sweeper.look()
    assert stored(bucket) - {"owner"} == {name}, "and not what is still being written"
    assert {name, unfinished} <= set(here(settings)), "a process with the old settings may still read it"
    moved_to(settings, tmp_path / "other host")
    assert BODY in octets(name)


def test_the_checks_explain_what_is_wrong(bucket: Bucket, settings: Any) -> None:
    def found() -> list[str | None]:
        return [one.id for one in [*checks.check_storage(), *checks.check_bucket(databases=["default"])]]

    assert found() == []
    assert stored(bucket) == set()
    bucket.is_away = True
    assert found() == ["tmtp.W016"]
    assert "nobody answers" in checks.check_bucket(databases=["default"])[0].msg
    settings.STORAGES = {**settings.STORAGES, "bodies": {"BACKEND": "not.there.Storage"}}
    assert found() == ["tmtp.E017", "tmtp.W016"]
    settings.TMTP = {**settings.TMTP, "SPOOL_STORAGE": "bodes"}
    (error,) = checks.check_storage()
    assert error.id == "tmtp.E016"
    assert error.hint == "Did you mean “bodies”?"


def test_a_bucket_that_fills_the_memory_is_warned_of(settings: Any) -> None:
    options = {"bucket_name": "mnm"}
    settings.STORAGES = {**settings.STORAGES, "s3": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}}
    settings.TMTP = {**settings.TMTP, "SPOOL_STORAGE": "s3"}
    assert [one.id for one in checks.check_storage()] == ["tmtp.W015"]
    settings.STORAGES = {
        **settings.STORAGES,
        "s3": {**settings.STORAGES["s3"], "OPTIONS": {**options, "max_memory_size": 2**20}},
    }
    assert checks.check_storage() == []


def test_a_body_of_which_only_a_part_arrives_is_fetched_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    name = keep()
    lose_copy(name)
    with monkeypatch.context() as patch:
        patch.setattr(object_storage, "pieces", lambda name: iter([BODY[:-1]]))
        for size in (None, len(BODY)):
            with pytest.raises(StorageUnavailable):
                spool.fetch(name, size)
    spool.fetch(name, len(BODY))
    assert octets(name) == BODY


@pytest.mark.parametrize("damaged", [BODY[:-1], BODY + b"!", b""])
def test_a_damaged_body_is_as_good_as_none(bucket: Bucket, damaged: bytes) -> None:
    name = keep()
    copies.path(name).write_bytes(damaged)
    with pytest.raises(FileNotFoundError):
        spool.open_here(name, len(BODY))
    spool.fetch(name, len(BODY))
    with spool.open_here(name, len(BODY)) as file:
        assert file.read() == BODY, "only the copy was damaged"
    lose_copy(name)
    Path(bucket.path(object_storage._key(name))).write_bytes(damaged)
    with pytest.raises(FileNotFoundError):
        spool.fetch(name, len(BODY))


@pytest.mark.django_db
def test_a_backup_has_bodies_that_are_not_here(bucket: Bucket, tmp_path: Path) -> None:
    here, there, gone = keep(), keep(), "0" * 32
    lose_copy(there)
    assert taking._link([here, there, gone], tmp_path) == {gone}
    assert [(tmp_path / name).read_bytes() for name in (here, there)] == [BODY, BODY]
    bucket.is_away = True
    with pytest.raises(StorageUnavailable):
        taking._link([gone], tmp_path)


def test_a_restored_body_is_in_the_storage(bucket: Bucket) -> None:
    other = keep()
    with pytest.raises(BackupError, match="bodies is not empty"):
        restoring._check_spool({})
    restoring._check_spool({f"spool/{other}": {}})
    name = "0" * 32
    for octets_of in (b"interrupted", BODY):
        restoring._restore_file(name, io.BytesIO(octets_of))
    assert stored(bucket) == {name, other}
    lose_copy(name)
    assert octets(name) == BODY


# -- a bucket, over HTTP

SETTINGS = """
import os
from botocore.config import Config
TMTP["SPOOL_DIR"] = os.environ.get("SPOOL", TMTP["SPOOL_DIR"])
STORAGES = {
    **globals().get("STORAGES", {}),
    "bodies": {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": "mnm",
            "endpoint_url": "http://127.0.0.1:%d",
            "access_key": "a",
            "secret_key": "b",
            "region_name": "us-east-1",
            "max_memory_size": 2**20,
            "client_config": Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60),
        },
    },
}
"""


class Bay:
    """A server with a bucket, which can be taken away and come back with what it had."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        from moto.server import ThreadedMotoServer  # importing it takes a while

        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    @property
    def bodies(self) -> list[str]:
        from moto.s3.models import s3_backends

        keys = s3_backends["123456789012"]["global"].buckets["mnm"].keys
        return [key for key in keys if re.search("/[0-9a-f]{32}$", key)]


@pytest.fixture(scope="module")
def bay() -> Iterator[Bay]:
    bay = Bay()
    import boto3

    where = {"endpoint_url": f"http://127.0.0.1:{bay.port}", "region_name": "us-east-1"}
    boto3.client("s3", aws_access_key_id="a", aws_secret_access_key="b", **where).create_bucket(Bucket="mnm")
    yield bay
    bay.stop()


@pytest.fixture(scope="module")
def site(bay: Bay) -> Iterator[Installation]:
    with installation(SPOOL_STORAGE="bodies", RESEND_AFTER=0.5, POLL=0.1) as site:
        with (site.folder / "overridden_settings.py").open("a") as file:
            file.write(SETTINGS % bay.port)
        yield site


async def acked(client: Client, request: str, to: list[str], body: bytes) -> str | None:
    """Post, and return the error of the ack, if there is one."""
    client.post(request, to, body)
    header, _ = await client.expect(op="ack", id=request)
    return header.get("error")


async def test_two_hosts_with_a_bucket_deliver_what_they_acknowledge(bay: Bay, site: Installation) -> None:
    """The bucket fails while a post is stored, and while one is read: nothing that was acknowledged is lost."""
    body = random.Random(2).randbytes(1_000_000)
    with (
        site.serve(SPOOL=str(site.folder / "here"), wait=False) as here,
        site.serve(SPOOL=str(site.folder / "there"), wait=False) as there,
    ):
        await asyncio.gather(here.wait(), there.wait())
        ann, bob, cat = [await server.register() for server in (here, here, there)]
        assert await acked(ann, "1", [bob.uid, cat.uid], body) is None
        assert len(bay.bodies) == 1
        for client in (bob, cat):
            header, data = await client.expect(op="delivery")
            assert data == body
            client.acknowledge(header["id"])
        await until(lambda: not bay.bodies)

        await asyncio.to_thread(bay.stop)
        error = "the server cannot store so much data now, try again later"
        assert await acked(ann, "2", [bob.uid], body) == error
        assert await acked(ann, "3", [bob.uid], b"small") is None, "the link stays, and what is small needs no bucket"
        header, data = await bob.expect(op="delivery")
        assert data == b"small"
        await asyncio.to_thread(bay.start)
        await cat.leave()
        while await acked(ann, "4", [cat.uid], body) == error:
            await asyncio.sleep(0.2)

        await asyncio.to_thread(bay.stop)
        cat = await there.login(cat.uid, cat.nodeid)
        await until(lambda: "fails to read" in there.log)
        await asyncio.to_thread(bay.start)
        header, data = await cat.expect(op="delivery")
        assert data == body
        cat.acknowledge(header["id"])
        await until(lambda: not bay.bodies)
        assert there.log.count("fails to read") == 1
