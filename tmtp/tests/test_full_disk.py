"""A full disk: what adds messages is refused at once, and all else goes on. A failed sync is not taken for done."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import InternalError, OperationalError, connection, transaction

from tmtp.messaging import send_message
from tmtp.models import Node
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.posts import Post
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import queue
from tmtp.services.queue.batch import Batch
from tmtp.services.storage import room, spool
from tmtp.store import durability
from tmtp.store.failures import Failure, broke_a_write, failure_of
from tmtp.store.reserve import Reserve

from .people import own, someone, to, waiting
from .test_store import Bench, on_disk

sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="for SQLite")
TOO_MUCH = 2**60  # octets, more than any disk has free
ANN, BOB = "ann, a member", "bob, a member"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_full_until", 0.0)
    monkeypatch.setattr(room, "_low", set())


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Callable[[], None]:
    """Return a function after which there is less room than there must be."""
    if connection.vendor == "postgresql":  # which may be elsewhere
        monkeypatch.setattr(room, "_folder_of_database", lambda: Path("/"))

    def fill_up() -> None:
        settings.TMTP = {**settings.TMTP, "MIN_FREE": TOO_MUCH}

    return fill_up


@pytest.fixture
def spool_folder(settings: Any, tmp_path: Path) -> Path:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path / "spool")}
    return tmp_path / "spool"


# below the floor

ADDING: dict[str, Callable[[Sender, Sender], object]] = {
    "post": lambda ann, bob: posting.post_whole(Post(ann, to(bob), b"hello")),
    "ping": lambda ann, bob: posting.ping(ann, ANN, BOB, b"hello"),
    "invite": lambda ann, bob: groups.invite(ann, "the new group", ANN, BOB),
    "register": lambda ann, bob: users.register("a device"),
    "alias": lambda ann, bob: users.add_alias(ann, "another name"),
    "device": lambda ann, bob: devices.add_node(ann, "another"),
    "send": lambda ann, bob: send_message(BOB, "Hello", "Bob"),
}
GOING_ON: dict[str, Callable[[Sender], object]] = {
    "the same alias again": lambda ann: users.add_alias(ann, ANN),
    "leave a group": lambda ann: groups.drop(ann, "the group", ANN),
    "drop a device": lambda ann: devices.drop_node(Node.objects.get(pk=ann.node)),
    "acknowledge": lambda ann: queue.acknowledge([(own(ann)[0], 1, int(waiting(ann)[0]["id"], 16))]),
}


@pytest.mark.django_db
@pytest.mark.parametrize("add", ADDING.values(), ids=ADDING)
def test_what_adds_is_refused(add: Callable[..., object], fill: Callable[[], None]) -> None:
    ann, bob = someone(ANN), someone(BOB)
    fill()
    with pytest.raises(Refused, match="disk is full"):
        add(ann, bob)
    assert not waiting(bob)


@pytest.mark.django_db
@pytest.mark.parametrize("go_on", GOING_ON.values(), ids=GOING_ON)
def test_all_else_goes_on(go_on: Callable[[Sender], object], fill: Callable[[], None]) -> None:
    ann, bob = someone(ANN), someone(BOB)
    groups.create(ann, "the group", ANN)
    posting.post_whole(Post(bob, to(ann), b"hello"))
    fill()
    with transaction.atomic():
        go_on(ann)


@pytest.mark.django_db
def test_a_post_that_is_there_already_is_acknowledged(fill: Callable[[], None]) -> None:
    ann, bob = someone(), someone()
    first, other = Post(ann, to(bob), b"1", digest=b"1"), Post(ann, to(bob), b"2", digest=b"2")
    (number,) = posting.post([first], batch=Batch())
    fill()
    again, refused = posting.post([first, other], batch=Batch())
    assert again == number
    assert isinstance(refused, Refused)


@pytest.mark.django_db
def test_the_log_says_so_once(fill: Callable[[], None], settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    fill()
    for _ in range(3):
        assert not room.is_there()
        room._seen = (0, 0.0, True)
    settings.TMTP = {**settings.TMTP, "MIN_FREE": 1}
    assert room.is_there()
    said = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in said] == ["less", "enough"]


def test_a_large_body_is_refused_and_leaves_no_file(fill: Callable[[], None], spool_folder: Path) -> None:
    spool_folder.mkdir()
    fill()
    with pytest.raises(Refused, match="No space left on device"):
        spool.keep([b"x" * 100_000], 100_000)
    assert not [path for path in spool_folder.rglob("*") if path.is_file()]


# a database that takes no more


@pytest.fixture
def crowded() -> Iterator[None]:
    """Let SQLite's file grow no further, which it takes for a full disk."""
    connection.ensure_connection()
    raw: Any = connection.connection
    ((pages,),) = raw.execute("PRAGMA page_count")
    raw.execute(f"PRAGMA max_page_count = {pages}")
    yield
    connection.close()


@sqlite
@on_disk
def test_posts_are_refused_at_once_and_the_rest_of_the_batch_is_done(request: Any) -> None:
    bench = Bench()
    ann, bob = someone(), someone()
    bench.post(ann, bob)
    number, _ = bench.work()
    request.getfixturevalue("crowded")
    bench.store._transactions.prepare = lambda give_up=0.0: None  # type: ignore[method-assign] # stay connected
    large = Post(ann, to(bob), b"x" * 60_000)
    for _ in range(100):
        bench.store.post(None, large, bench.seen.append)
    bench.store.acknowledge((bob.node or 0, 1, number))
    bench.call(lambda: "a login")
    *refused, login, parcels = bench.work()
    assert {str(error) for error in refused} == {"the server's disk is full, try again later"}
    assert login == "a login"
    assert parcels == []
    assert waiting(bob) == []


@sqlite
def test_a_database_that_can_only_be_read_is_connected_to_again(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "db").execute("CREATE TABLE one (x)").connection.close()
    there = sqlite3.connect(f"file:{tmp_path}/db?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as found:
        there.execute("INSERT INTO one VALUES (1)")
    there.close()
    error = OperationalError()
    error.__cause__ = found.value
    assert failure_of(error) is Failure.READ_ONLY


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_FULL])
def test_a_write_that_fails_is_final(code: int) -> None:
    error, cause = OperationalError(), sqlite3.OperationalError()
    cause.sqlite_errorcode = code
    error.__cause__ = cause
    assert failure_of(error) is Failure.FULL
    assert broke_a_write(error) is (code != sqlite3.SQLITE_FULL)


@pytest.mark.parametrize(
    "code, text, failure",
    [
        ("53100", "could not extend file: No space left on device", Failure.FULL),
        ("XX000", "could not extend file: Disk quota exceeded", Failure.FULL),
        ("58030", "could not read block: Input/output error", Failure.FULL),
        ("25006", "cannot execute INSERT in a read-only transaction", Failure.READ_ONLY),
        ("25P04", "terminating connection due to transaction timeout", Failure.AWAY),
        ("XX000", "cache lookup failed", None),
    ],
)
def test_what_postgresql_says(code: str, text: str, failure: Failure | None) -> None:
    error, cause = InternalError(text), Exception()
    cause.sqlstate = code  # type: ignore[attr-defined]
    error.__cause__ = cause
    assert failure_of(error) is failure


@sqlite
@on_disk
def test_after_a_failed_sync_the_log_is_written_anew_first(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, calls = Bench(), []
    error, cause = OperationalError("disk I/O error"), sqlite3.OperationalError()
    cause.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    error.__cause__ = cause
    kind = type(bench.store._transactions)
    monkeypatch.setattr("tmtp.store.transactions.rewrite_log", lambda: calls.append("anew"))
    attempt, failing = kind._attempt, [None, error, None]

    def fail(self: Any, *args: Any) -> Any:
        self._check_log()
        calls.append("attempt")
        if raised := failing.pop():
            raise raised
        return attempt(self, *args)

    monkeypatch.setattr(kind, "_attempt", fail)
    bench.call(lambda: 1)
    assert bench.work() == [1, []]
    bench.call(lambda: 2)
    assert bench.work() == [2, []]
    assert calls == ["anew", "attempt", "attempt", "anew", "attempt"]


@sqlite
@on_disk
def test_a_log_that_others_read_is_not_taken_for_one_that_is_begun_anew() -> None:
    bench, log = Bench(), Path(f"{connection.settings_dict['NAME']}-wal")
    bench.call(lambda: 1)
    bench.work()
    someone()
    transactions = bench.store._transactions
    transactions.prepare()  # `work` has closed the connection
    connection.cursor().execute("PRAGMA busy_timeout = 50")
    with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tmtp_node").fetchone()
        transactions._log_is_doubtful = True
        with pytest.raises(OperationalError):
            transactions._check_log()
        assert transactions._log_is_doubtful
        assert durability.save_log(), "all of it is in the database"
    transactions._check_log()
    assert log.stat().st_size == 0


# the reserve


@sqlite
@on_disk
def test_the_reserve_is_freed_when_the_disk_is_full_and_taken_again_later(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "MIN_FREE": 100_000}
    path = Path(f"{connection.settings_dict['NAME']}-reserve")
    reserve = Reserve()
    reserve.release()
    assert not path.exists()
    reserve.keep()
    assert not path.exists(), "too early"
    reserve._looked -= 60
    reserve.keep()
    assert path.stat().st_blocks * 512 >= 100_000
    reserve.release()
    settings.TMTP = {**settings.TMTP, "MIN_FREE": TOO_MUCH}
    reserve._looked -= 60
    reserve.keep()
    assert not path.exists(), "there is too little room for it"


# syncs of the spool


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that says of each sync whether it succeeds, last first. When it is empty, all do."""
    coming: list[bool] = []

    def fsync(descriptor: int) -> None:
        if coming and not coming.pop():
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(spool.os, "fsync", fsync)
    return coming


@pytest.mark.parametrize("succeeding", range(4))
def test_a_body_whose_sync_fails_is_refused_and_its_file_removed(
    syncs: list[bool], spool_folder: Path, succeeding: int
) -> None:
    syncs += [False] + [True] * succeeding  # the two folders, the file, its entry
    with pytest.raises(Refused, match="Input/output error"):
        spool.keep([b"x" * 100_000], 100_000)
    assert not [path for path in spool_folder.rglob("*") if path.is_file()]


def test_a_folder_whose_sync_failed_is_synced_again(
    syncs: list[bool], spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    sync = spool._sync
    monkeypatch.setattr(spool, "_sync", lambda folder: synced.append(folder) or sync(folder))
    syncs += [False]
    with pytest.raises(Refused):
        spool.keep([b"x" * 100_000], 100_000)
    body = spool.keep([b"x" * 100_000], 100_000)
    assert isinstance(body, spool.Spooled)
    folder = spool.path(body.name).parent
    assert synced == [spool_folder.parent, spool_folder.parent, spool_folder, folder]
