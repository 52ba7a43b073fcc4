import ssl
import stat

import pytest
from django.core.management import CommandError, call_command

from mnmsite.management.commands import serve
from tmtp.server.certificate import is_self_signed, make_self_signed


@pytest.fixture
def files(settings, tmp_path):
    cert, key = tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"
    settings.TMTP = {**settings.TMTP, "CERT": str(cert), "KEY": str(key)}
    return cert, key


def handshake(cert, key, name):
    """Let a client that trusts only this certificate meet a server that has it."""
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
