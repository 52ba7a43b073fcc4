"""`manage.py runtmtp`: an error at the start is one clear line, and a signal ends it in time."""

import contextlib
import signal
import socket
import time

import pytest
from django.core.management import CommandError, call_command

from tmtp.management.commands import runtmtp
from tmtp.server.certificate import make_self_signed
from tmtp.testing import Closed, ServerFailed, running_server

pytestmark = pytest.mark.once


class Started(Exception):
    """Raised where the command would begin to serve."""


@pytest.fixture
def files(tmp_path, settings):
    settings.TMTP = {**settings.TMTP, "CERT": str(tmp_path / "cert.pem"), "KEY": str(tmp_path / "key.pem")}
    make_self_signed(tmp_path / "cert.pem", tmp_path / "key.pem", ["localhost"])
    return tmp_path


@pytest.fixture
def refused(monkeypatch, files, transactional_db):
    """Run the command up to where it would serve, and return its error."""

    def begin(self, setup, count):
        for sock in setup.sockets:
            sock.close()
        raise Started

    monkeypatch.setattr(runtmtp.Command, "_run", begin)

    def run(*options):
        with pytest.raises(CommandError) as error:
            call_command("runtmtp", *options, skip_checks=True)
        text = str(error.value)
        assert "\n" not in text
        return text

    return run


def test_it_would_start(refused):
    for options in (["--bind=127.0.0.1:0"], ["--bind=[::1]:0", "--plain"], ["--bind=localhost:0", "--plain"]):
        with pytest.raises(Started):
            call_command("runtmtp", *options, skip_checks=True)


def test_a_port_in_use(refused):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert refused(f"--bind={address}") == f"Cannot listen on {address}: Address already in use"


def test_an_address_of_another_machine(refused):
    assert "192.0.2.1:7443" in refused("--bind=192.0.2.1:7443")
    assert "no-such-host.invalid:7443" in refused("--bind=no-such-host.invalid:7443")


@pytest.mark.parametrize(
    "bind", ["7443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:https", "127.0.0.1:65536", ":7443", "::1:7443"]
)
def test_no_address(bind, refused):
    assert f"“{bind}” is not HOST:PORT" in refused(f"--bind={bind}")


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.invalid:0"])
def test_plain_is_for_loopback(bind, refused):
    assert "--plain is for loopback only" in refused("--plain", f"--bind={bind}")


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_a_file_that_is_not_there(name, files, refused):
    (files / name).unlink()
    assert refused("--bind=127.0.0.1:0") == f"Cannot read {files / name}: No such file or directory"


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_a_file_that_is_something_else(name, files, refused):
    (files / name).write_text("none of it")
    assert "are not a certificate and its key" in refused("--bind=127.0.0.1:0")


def test_a_folder_for_a_key(files, refused):
    assert refused(f"--key={files}") == f"Cannot read {files}: Is a directory"


def test_a_key_of_another_certificate(files, refused):
    make_self_signed(files / "other.pem", files / "other_key.pem", ["localhost"])
    assert "are not a certificate and its key" in refused(f"--key={files / 'other_key.pem'}")


def test_a_key_with_a_password(files, refused):
    """The command does not ask for it, since nobody could answer."""
    from cryptography.hazmat.primitives import serialization as pem

    key = pem.load_pem_private_key((files / "key.pem").read_bytes(), None)
    locked = pem.BestAvailableEncryption(b"password")
    (files / "key.pem").write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, locked))
    assert "the key has a passphrase" in refused("--bind=127.0.0.1:0")


def test_no_certificate_at_all(settings, refused):
    settings.TMTP = {}
    assert "manage.py tmtpcert" in refused("--bind=127.0.0.1:0")


def test_no_application(settings, refused):
    settings.ASGI_APPLICATION = None
    assert "ASGI_APPLICATION is not set" in refused("--bind=127.0.0.1:0")
    settings.ASGI_APPLICATION = "nowhere.asgi.application"
    assert "nowhere.asgi" in refused("--bind=127.0.0.1:0")
    settings.ASGI_APPLICATION = "tmtp.tests.asgi.http"
    assert 'tmtp.tests.asgi.http has no route "tcp"' in refused("--bind=127.0.0.1:0")


def test_missing_migrations(site):
    """The whole output, and the exit code."""
    with pytest.raises(ServerFailed) as error, running_server(env=site):
        pass
    *_, line = str(error.value).strip().splitlines()
    assert line.startswith("CommandError: Migrations are missing (") and "`manage.py migrate`" in line
    assert "Traceback" not in str(error.value)
    assert error.value.code == 1


def stop_in_time(server, number):
    began = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - began < 9  # less than anything that it could wait for
    assert "Traceback" not in server.said()


def test_a_signal_ends_it_with_clients_connected(migrated_site):
    """One of them never reads, one is in the middle of a post, and one has sent nothing."""
    with running_server(env=migrated_site) as server:
        ann, bob, cid, dan = (server.client() for _ in range(4))
        for client in (ann, bob, cid):
            client.greet()
            client.register("laptop")
        acks = [bob.ask({"op": 7, "id": str(n), "for": [{"id": ann.uid, "type": 1}]}, b"x" * 1000) for n in range(50)]
        cid.send({"op": 7, "id": "1", "for": [], "datalen": 10_000_000}, b"x" * 100_000)
        stop_in_time(server, signal.SIGTERM)
        for client in (ann, bob, cid, dan):
            assert "quit" not in [message.op for message in client.rest()]
            client.close()
    with running_server(env=migrated_site) as server, server.client() as again:
        again.greet()
        assert again.log_in(ann.uid, ann.nodeid)["op"] == "info"
        assert [again.next_queued().id for _ in acks] == [ack.header["msgid"] for ack in acks]
        stop_in_time(server, signal.SIGINT)


def test_a_plain_link(migrated_site):
    with running_server(env=migrated_site, plain=True) as server, server.client() as ann:
        assert ann.greet()["op"] == "tmtprev"
        server.process.kill()
        with pytest.raises(Closed):
            ann.receive()


def upload(client, size):
    """Send a large part of a post without reading. Return how much was sent in twenty seconds."""
    client.greet()
    client.register("laptop")
    client.send({"op": 7, "id": "1", "for": [], "datalen": 10**9})
    began, sent = time.monotonic(), 0
    with contextlib.suppress(OSError):
        while sent < size and time.monotonic() - began < 20:
            client._socket.sendall(bytes(100_000))
            sent += 100_000
    return sent


def is_told_why(server, size):
    """Return whether a client can upload so much. If so, check that it is told why it has to go."""
    with server.client() as client:
        if upload(client, size) < size:
            return False
        while (said := client.receive()).op != "quit":
            pass
        assert said.header["error"] == "data too long for request type"
        return True


def test_a_client_that_uploads_is_told_why_it_has_to_go(migrated_site):
    with running_server(env=migrated_site, tmtp={"MAX_BODY": 1000}) as server:
        for size in (200_000, 3_000_000):  # it is read on for a moment, in which a busy computer may not send all
            assert any(is_told_why(server, size) for _ in range(5))
        with server.client() as client:
            assert upload(client, 10**9) < 50_000_000, "but not for ever"
        with server.client() as client:
            upload(client, 100_000)
            stop_in_time(server, signal.SIGTERM)
