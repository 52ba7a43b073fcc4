import gc
import socket
import ssl
import stat
import subprocess
import sys
from contextlib import nullcontext

import pytest
from django.conf import settings as site
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError

from mnmsite.management import Utility
from mnmsite.management.commands import serve
from tmtp.server.certificate import is_self_signed, make_self_signed

pytestmark = pytest.mark.once


@pytest.fixture
def files(settings, tmp_path):
    cert, key = tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"
    settings.TMTP = {**settings.TMTP, "CERT": str(cert), "KEY": str(key)}
    return cert, key


def handshake(cert, key, name):
    """Do a TLS handshake between a server with this certificate and a client that trusts no other."""
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=cert)
    there.load_cert_chain(cert, key)
    here.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = here.wrap_bio(down, up, server_hostname=name)
    server = there.wrap_bio(up, down, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.version()


def test_tmtpcert_makes_a_certificate_that_clients_can_check(files):
    call_command("tmtpcert", "--name", "chess.example", verbosity=0)
    for name in ("localhost", "127.0.0.1", "::1", "chess.example"):
        assert handshake(*files, name) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*files, "other.example")


def test_tmtpcert_keeps_the_key_from_others_and_keeps_what_is_there(files):
    call_command("tmtpcert", verbosity=0)
    before = [path.read_bytes() for path in files]
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o600
    assert sorted(files[0].parent.iterdir()) == sorted(files)
    call_command("tmtpcert", verbosity=0)
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize("lost", [0, 1])
def test_tmtpcert_replaces_no_half_of_a_pair(files, lost):
    call_command("tmtpcert", verbosity=0)
    files[lost].unlink()
    with pytest.raises(CommandError, match=files[lost].name):
        call_command("tmtpcert", verbosity=0)
    assert not files[lost].exists()


def test_tmtpcert_without_a_place(settings):
    settings.TMTP = {}
    with pytest.raises(CommandError, match="--cert"):
        call_command("tmtpcert")


def test_tmtpcert_where_it_may_not_write(files):
    files[0].parent.touch()
    with pytest.raises(CommandError, match="cannot write"):
        call_command("tmtpcert")


def test_a_certificate_needs_a_name(tmp_path):
    with pytest.raises(ValueError, match="needs a host name"):
        make_self_signed(tmp_path / "cert.pem", tmp_path / "key.pem", ["", "schach-österreich"])
    assert not list(tmp_path.iterdir())


def test_the_summary_gives_addresses_as_clients_take_them(files):
    assert not is_self_signed(files[0])
    assert "   127.0.0.1:7443\n" in serve.summary("127.0.0.1:7443", "127.0.0.1:8000")
    call_command("tmtpcert", verbosity=0)
    text = serve.summary("127.0.0.1:7443", "[::1]:8000")
    assert " =127.0.0.1:7443\n" in text
    assert " http://[::1]:8000/\n" in text
    assert "manage.py createsuperuser" in text


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_every_interface_is_shown_as_this_machine(host, monkeypatch):
    monkeypatch.setattr(serve.socket, "gethostname", lambda: "chess")
    assert serve.dialable(f"{host}:7443") == "chess:7443"


def migrate_fails(error):
    def migrate(*args, **options):
        raise error

    return migrate


@pytest.fixture
def ran(files, settings, monkeypatch):
    """Record what `serve` would do, in order, without doing it. Both ports are free."""
    done = []
    settings.TMTP = {**settings.TMTP, "BIND": "127.0.0.1:0"}
    monkeypatch.setenv("MNM_HTTP", "127.0.0.1:0")
    monkeypatch.setattr(serve, "call_command", lambda *args, **options: done.append(args[0]))
    monkeypatch.setattr(serve, "summary", lambda *args: done.append("summary") or "")
    monkeypatch.setattr(serve, "run", lambda procfile: done.append("run") or serve.STOPPED[0])
    monkeypatch.setattr(serve, "own_process_group", nullcontext)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    return done


def test_serve_migrates_before_it_says_where_things_are(ran):
    call_command("serve")
    assert ran == ["migrate", "summary", "run"]


@pytest.mark.parametrize("error", [OperationalError("no route\n\tto it\n"), InterfaceError("no route")])
def test_serve_says_in_one_line_that_the_database_cannot_be_used(ran, monkeypatch, error):
    monkeypatch.setattr(serve, "call_command", migrate_fails(error))
    with pytest.raises(CommandError) as refused:
        call_command("serve")
    assert str(refused.value) == "The database cannot be used: no route"
    assert ran == []


@pytest.mark.parametrize("variable", ["TMTP_BIND", "MNM_HTTP"])
def test_serve_names_the_address_that_is_taken_and_its_variable(ran, settings, monkeypatch, variable):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        if variable == "MNM_HTTP":
            monkeypatch.setenv("MNM_HTTP", address)
        else:
            settings.TMTP = {**settings.TMTP, "BIND": address}
        with pytest.raises(CommandError) as refused:
            call_command("serve")
    assert str(refused.value) == (
        f"Cannot listen on {address}: Address already in use. Set {variable} to another address."
    )
    assert ran == []
    call_command("serve")  # the port is free again
    assert ran[-1] == "run"


def test_serve_notices_one_address_for_both():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
    with pytest.raises(CommandError, match="Set MNM_HTTP"):
        serve.check_addresses(TMTP_BIND=address, MNM_HTTP=address)


def test_serve_shows_how_the_address_of_the_website_looks(ran, monkeypatch):
    monkeypatch.setenv("MNM_HTTP", "8000")
    with pytest.raises(ImproperlyConfigured, match=r"^MNM_HTTP: “8000” .* such as 127\.0\.0\.1:8000 or"):
        call_command("serve")


def test_a_process_that_is_killed_ends_all_even_if_its_children_live(tmp_path):
    procfile = tmp_path / "Procfile"
    procfile.write_text("other: exec sleep 60\nworker: sleep 60 & echo last words; kill -9 $$\n")
    code = f"from mnmsite.management.commands import serve; serve.sys.exit(serve.run({str(procfile)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site.BASE_DIR, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 256 - 9
    assert "last words" in done.stdout
    assert "other.1 stopped (rc=-15)" in done.stdout


def test_garbage_is_collected_once_a_command_begins():
    """manage.py turns that off while it imports."""
    gc.disable()
    try:
        assert isinstance(Utility(["manage.py", "serve"]).fetch_command("serve"), serve.Command)
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
