"""A body that cannot be read while it is sent to a device: neither the link nor what comes after it fails for long."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from tmtp.links import writer
from tmtp.links.writer import READ_OCTETS, Writer
from tmtp.services.queue.batch import Parcel
from tmtp.services.storage import spool, unreadable
from tmtp.services.storage.spool import Spooled
from tmtp.services.storage.unreadable import Unreadable

pytestmark = pytest.mark.once
BODY = Spooled("a" * 32, 3 * READ_OCTETS)


class FailingFile(io.RawIOBase):
    """A file on a disk that fails after `good` pieces."""

    def __init__(self, good: int, error: bool = True) -> None:
        self.good = good
        self.error = error

    def read(self, size: int = -1) -> bytes:
        if self.good:
            self.good -= 1
            return bytes(READ_OCTETS)
        if self.error:
            raise Unreadable(5, "Input/output error")
        return b""


def writer_to(sent: list[bytes], postponed: list[Parcel]) -> Writer:
    async def send(event: dict[str, bytes]) -> None:
        sent.append(bytes(event["data"]))

    return Writer(SimpleNamespace(wake=None, moved=0.0, postpone=postponed.append), send)  # type: ignore[arg-type]


@pytest.mark.parametrize(("good", "error"), [(0, True), (1, True), (2, True), (1, False)])
async def test_a_disk_that_fails(monkeypatch: pytest.MonkeyPatch, good: int, error: bool) -> None:
    """The link ends if it has sent a part. The next one leaves the message for later, and goes on."""
    monkeypatch.setattr(spool, "open_here", lambda name, size: FailingFile(good, error))
    monkeypatch.setattr(writer, "_broken", {})
    monkeypatch.setattr(unreadable, "_reported", {})
    sent: list[bytes] = []
    postponed: list[Parcel] = []
    parcel = Parcel(1, 0, b"head", BODY)
    if good:
        with pytest.raises(Unreadable):
            await writer_to(sent, postponed)._send_spooled(parcel, BODY)
        assert sent
        sent.clear()
    assert not await writer_to(sent, postponed)._send_spooled(parcel, BODY)
    assert sent == []
    assert postponed == [parcel]


async def test_a_body_that_was_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "open_here", lambda name, size: FailingFile(3))
    monkeypatch.setattr(writer, "_broken", {BODY.name: -writer.BROKEN_FOR})
    sent: list[bytes] = []
    assert await writer_to(sent, [])._send_spooled(Parcel(1, 0, b"head", BODY), BODY)
    assert sum(map(len, sent)) == 4 + BODY.size
