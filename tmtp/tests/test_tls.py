"""TLS between a socket and a protocol, with records cut anywhere, and many links with the same buffers."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from tmtp.server.certificate import make_self_signed
from tmtp.server.context import Certificate
from tmtp.server.tls import TlsTransport

pytestmark = pytest.mark.once
BODY = bytes(n % 251 for n in range(200_000))


class Wire:
    """A transport of a socket, which keeps what was written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort


class Echo(asyncio.Protocol):
    """A protocol that sends back what it receives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Peer:
    """A link with its client, without a socket between them. `step` is the number of octets that arrive at once."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, step: int = 10**6) -> None:
        self.wire = Wire()
        self.link = TlsTransport(server, Echo(), handshake_timeout=60)
        self.link.connection_made(self.wire)  # type: ignore[arg-type]
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.step = step

    def put(self, octets: bytes) -> None:
        """Let octets arrive from the network."""
        while octets and not self.wire.closed:
            buffer = self.link.get_buffer(-1)
            piece = octets[: min(self.step, len(buffer))]
            buffer[: len(piece)] = piece
            self.link.buffer_updated(len(piece))
            octets = octets[len(piece) :]

    def exchange(self) -> None:
        self.put(self.outgoing.read())
        self.incoming.write(self.wire.written)
        self.wire.written = b""

    def shake_hands(self) -> None:
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()

    def read(self) -> bytes:
        """Return everything that has been sent back."""
        pieces = []
        try:
            while True:
                pieces.append(self.tls.read(65536))
        except ssl.SSLWantReadError:
            return b"".join(pieces)


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_self_signed(cert, key, ["localhost"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=cert)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("step", [1, 5, 700, 16_384, 10**6])
async def test_whatever_pieces_records_come_in(contexts: Any, version: ssl.TLSVersion, step: int) -> None:
    server, client = contexts
    client.maximum_version = version
    peer = Peer(server, client, step)
    peer.shake_hands()
    assert peer.tls.version() == version.name.replace("_", ".")
    body = BODY[: 2000 * step]
    for at in range(0, len(body), 50_000):
        peer.tls.write(body[at : at + 50_000])  # the first write arrives together with the end of the handshake
    peer.exchange()
    assert peer.read() == body


async def test_links_do_not_get_each_others_octets(contexts: Any) -> None:
    peers = [Peer(*contexts) for _ in range(3)]
    for peer in peers:
        peer.shake_hands()
        peer.exchange()
    records = []
    for number, peer in enumerate(peers):
        peer.tls.write(bytes([number]) * 20_000)
        records.append(peer.outgoing.read())
    for at in range(0, max(map(len, records)), 999):
        for peer, record in zip(peers, records, strict=True):
            peer.put(record[at : at + 999])
    for number, peer in enumerate(peers):
        peer.exchange()
        assert peer.read() == bytes([number]) * 20_000


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(b"\x80\x2e\x01\x00\x02" + bytes(60), id="SSL 2"),
        pytest.param(b"\x16\x03\x01\xff\xff" + bytes(40), id="too long"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", id="no ClientHello"),
    ],
)
async def test_what_is_not_tls_ends_its_link_at_once(contexts: Any, octets: bytes) -> None:
    stranger, member = Peer(*contexts), Peer(*contexts)
    member.shake_hands()
    stranger.put(octets)
    assert stranger.wire.closed
    assert not stranger.wire.written or stranger.wire.written[0] == 21, "an alert"
    member.tls.write(b"still here")
    member.exchange()
    assert member.read() == b"still here"


async def test_an_altered_record_ends_its_link_and_what_follows_it_is_nobodys(contexts: Any) -> None:
    victim, member = Peer(*contexts), Peer(*contexts)
    for peer in (victim, member):
        peer.shake_hands()
        peer.exchange()
    victim.tls.write(b"one")
    one = bytearray(victim.outgoing.read())
    one[-1] ^= 1
    victim.tls.write(b"two")
    victim.put(bytes(one) + victim.outgoing.read())
    assert victim.wire.closed
    member.tls.write(b"mine")
    member.exchange()
    assert member.read() == b"mine"


async def test_after_good_bye_the_link_closes(contexts: Any) -> None:
    peer = Peer(*contexts)
    peer.shake_hands()
    peer.tls.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    peer.put(peer.outgoing.read() + b"\x17\x03\x03\x00\x02no")
    assert peer.wire.closed
    other = Peer(*contexts)
    other.shake_hands()


def shown(certificate: Certificate, client: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a new client gets."""
    peer = Peer(certificate.context, client)
    peer.shake_hands()
    return peer.tls.getpeercert(binary_form=True)


async def test_new_links_get_a_renewed_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_self_signed(cert, key, ["localhost"])
    certificate = Certificate(cert, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    first = shown(certificate, client)
    member = Peer(certificate.context, client)
    member.shake_hands()

    make_self_signed(tmp_path / "new.pem", tmp_path / "new.key", ["localhost"])
    (tmp_path / "new.pem").replace(cert)
    certificate.reload()
    assert shown(certificate, client) == first, "its key is still to come"
    assert "cannot be used" in caplog.text
    cert.unlink()
    certificate.reload()
    assert shown(certificate, client) == first
    make_self_signed(cert, key, ["localhost"])
    certificate.reload()
    assert shown(certificate, client) == ssl.PEM_cert_to_DER_cert(cert.read_text()) != first
    member.tls.write(b"still here")
    member.exchange()
    assert member.read() == b"still here"
