"""Uploads: small parts stay in memory, large ones go to the spool and are never whole in memory."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tmtp.engine.counters import Counters
from tmtp.engine.limits import Limits
from tmtp.links.handlers import HANDLERS
from tmtp.links.session import Session
from tmtp.links.uploads import Incoming
from tmtp.protocol.connection import State
from tmtp.services.errors import Refused
from tmtp.services.people.users import LoggedIn
from tmtp.services.storage import spool
from tmtp.services.storage.spool import INLINE_OCTETS, Spooled

from .raw_client import frame

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("spool_folder")]


@pytest.fixture
def spool_folder(settings: Any, tmp_path: Path) -> Path:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path)}
    return tmp_path


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def octets(body: bytes | Spooled) -> bytes:
    return spool.path(body.name).read_bytes() if isinstance(body, Spooled) else body


def logged_in(limits: Limits) -> Session:
    """Return the session of a user's link."""
    engine: Any = SimpleNamespace(max_body=2**30, counters=Counters(), limits=limits)
    session = Session(engine, "::1")
    session.connection.state = State.LOGGED_IN
    session.sender = LoggedIn("a uid", 1, 1)
    return session


@pytest.mark.parametrize("step", [1, 7, 1000, 65536, 10**6])
@pytest.mark.parametrize(
    "lengths", [[5], [3, 5], [INLINE_OCTETS], [INLINE_OCTETS + 1], [2, 200_000], [200_000, 2], [70_000] * 2]
)
async def test_however_data_comes_its_parts_are_the_same(step: int, lengths: list[int]) -> None:
    if step < 1000 < sum(lengths):
        step *= 999
    data = bytes(n % 251 for n in range(sum(lengths)))
    incoming = Incoming(b"header", lengths)
    for at in range(0, len(data), step):
        await incoming.add(data[at : at + step])
    assert incoming.error is None
    assert incoming.digest == hashlib.sha256(b"header" + data).digest()
    parts = incoming.take()
    assert b"".join(octets(part) for part in parts) == data
    for part, length in zip(parts, lengths, strict=True):
        assert len(octets(part)) == length
        assert isinstance(part, Spooled) == (length > INLINE_OCTETS)
        assert not isinstance(part, Spooled) or part.size == length
    incoming.abandon()
    assert b"".join(octets(part) for part in parts) == data, "what was taken is the taker's"


async def test_a_large_body_is_on_disk_before_it_is_taken(spool_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (first := Incoming(b"", [100_000])).add(bytes(100_000))  # makes some of the folders
    synced: list[int] = []
    monkeypatch.setattr(spool.os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    incoming = Incoming(b"", [100_000])
    await incoming.add(bytes(99_999))
    await incoming.add(bytes(1))
    (body,) = incoming.take()
    assert isinstance(body, Spooled)
    file = spool.path(body.name)
    assert synced[-2:] == [file.stat().st_ino, file.parent.stat().st_ino], "its content, then its name"
    first.abandon()


async def test_a_large_body_is_not_in_memory() -> None:
    incoming = Incoming(b"", [50_000_000])
    piece = bytes(50_000)
    tracemalloc.start()
    for _ in range(1000):
        await incoming.add(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    (body,) = incoming.take()
    assert isinstance(body, Spooled)
    assert spool.path(body.name).stat().st_size == 50_000_000


@pytest.mark.parametrize("sent", [10, 150_000, 300_000])
async def test_what_comes_to_nothing_leaves_no_file(spool_folder: Path, sent: int) -> None:
    incoming = Incoming(b"", [200_000, 300_000])
    await incoming.add(bytes(sent))
    incoming.abandon()
    incoming.abandon()
    assert files(spool_folder) == []


async def test_a_full_disk_is_remembered_and_the_rest_passed_over(
    spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    incoming = Incoming(b"", [400_000, 100_000])
    await incoming.add(bytes(200_000))
    monkeypatch.setattr(spool, "finish", full)
    await incoming.add(bytes(200_000))
    assert incoming.error is not None
    monkeypatch.undo()
    monkeypatch.setattr(spool, "path", lambda name: spool_folder / name)
    await incoming.add(bytes(100_000))
    assert incoming.error.errno == errno.ENOSPC
    incoming.abandon()
    assert files(spool_folder) == []


async def test_a_post_whose_part_could_not_be_spooled_is_refused_and_leaves_no_file(
    spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = logged_in(Limits())
    header = b'{"op":8,"id":"7","for":[],"datalen":200000,"notelen":100000}'
    await session.receive(b"%04x%b" % (len(header), header) + bytes(100_000), {})
    assert session.incoming is not None
    session.incoming.parts[1].error = OSError(errno.ENOSPC, "no space left")
    await session.receive(bytes(100_000), {})
    assert [json.loads(frame[4:])["error"] for frame in session.outgoing()] == [  # type: ignore[index]
        "the server has no room for so much data now"
    ]
    assert files(spool_folder) == []


def taking(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let spool files take at most `most` octets at a time, or none, as on a full disk."""

    class Taking(io.FileIO):
        def write(self, data: Any) -> int:
            if not most:
                raise OSError(errno.ENOSPC, "no space left")
            return super().write(data[:most])

    create = spool.create

    def create_taking() -> tuple[str, Any]:
        name, file = create()
        file.close()
        return name, Taking(spool.path(name), "wb")

    monkeypatch.setattr(spool, "create", create_taking)


def test_a_file_that_takes_a_part_at_a_time_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, 70_000)
    kept = spool.keep([b"a" * 100_000, b"b" * 100_000], 200_000)
    assert octets(kept) == b"a" * 100_000 + b"b" * 100_000


def test_what_the_disk_has_no_room_for_is_refused_and_leaves_no_file(
    spool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(monkeypatch, 0)
    with pytest.raises(Refused, match="no space left"):
        spool.keep([bytes(200_000)], 200_000)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has changed"):
        spool.keep([bytes(100_000)], 200_000)
    assert files(spool_folder) == []


async def test_data_that_drips_is_too_slow_and_a_busy_server_is_no_reason() -> None:
    incoming = Incoming(b"", [200_000])
    begun = time.monotonic()
    await incoming.add(bytes(100_000))
    assert not incoming.is_slow(begun + 29, 500)
    assert not incoming.is_slow(begun + 31, 500), "it is slow only now"
    await incoming.add(b"x")
    incoming.excuse(10)
    assert not incoming.is_slow(begun + 70, 500), "the server has not read for 10 of 39 seconds"
    assert incoming.is_slow(begun + 73, 500)
    incoming.abandon()


async def test_a_body_that_drips_is_refused_and_its_link_ends(spool_folder: Path) -> None:
    limits = Limits()
    session = logged_in(limits)
    await session.receive(frame(op=7, id="slow", for_=[], datalen=2**20) + bytes(200_000), HANDLERS)
    now = time.monotonic()
    assert [session.is_overdue(now + 31 * n) for n in (0, 1, 2)] == [False, False, True]
    (answer,) = session.outgoing()
    assert b"500 octets per second" in answer  # type: ignore[operator]
    session.end()
    assert not files(spool_folder)
    assert not limits._held


@pytest.mark.parametrize("before", [b"", frame(op=11), frame(op=11) * 3])
async def test_a_header_that_drips_ends_its_link(before: bytes) -> None:
    session, begun = logged_in(Limits()), time.monotonic()
    await session.receive(before + b"f", HANDLERS)
    for octet in (b"f", b"f", b"f", *[b"{"] * 20):
        await session.receive(octet, HANDLERS)
    assert not session.is_overdue(begun + 29)
    assert session.is_overdue(time.monotonic() + 31)
    assert not session.outgoing(), "it ends as at a timeout, without a word"


async def test_a_header_has_the_time_that_a_slow_line_needs() -> None:
    session = logged_in(Limits())
    await session.receive(b"ffff{" + b" " * 20_000, HANDLERS)
    now = time.monotonic()
    assert [session.is_overdue(now + seconds) for seconds in (31, 39, 42)] == [False, False, True]
    await session.receive(b" " * (65_535 - 20_001 - 9) + b'"op":11}' + b" ", HANDLERS)
    assert not session.is_overdue(now + 60), "it is between requests"


async def test_a_header_that_begins_behind_another_request_has_its_own_time() -> None:
    session = logged_in(Limits())
    await session.receive(b"0", HANDLERS)
    session._header_since = time.monotonic() - 29  # type: ignore[assignment]
    await session.receive(frame(op=11)[1:] + b"00", HANDLERS)
    assert not session.is_overdue(time.monotonic() + 29)
    assert session.is_overdue(time.monotonic() + 31)


async def test_a_user_has_only_so_many_uploads(settings: Any, spool_folder: Path) -> None:
    most = {"uploads_per_user": 2, "upload_octets_per_user": 500_000}
    settings.TMTP = {**settings.TMTP, "LIMITS": most}
    limits, links = Limits(), []
    for name, size in (("first", 200_000), ("too large", 400_000), ("second", 200_000), ("third", 70_000)):
        link = logged_in(limits)
        await link.receive(frame(op=7, id=name, for_=[], datalen=size) + bytes(size - 1), HANDLERS)
        links.append(link)
    assert sorted(file.stat().st_size for file in files(spool_folder)) == [199_999] * 2
    for link in (links[1], links[3]):
        await link.receive(b"x", HANDLERS)
    refused = [bytes(b"".join(link.outgoing())) for link in links]  # type: ignore[arg-type]
    assert [b"no room" in answer for answer in refused] == [False, True, False, False]
    assert [b"2 large messages" in answer for answer in refused] == [False, False, False, True]
    for link in links:
        link.end()
    assert not files(spool_folder)
    assert not limits._held
