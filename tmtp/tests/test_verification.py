"""`manage.py tmtpsim` verifies a server: any one, with a line for each answer that differs, and an exit status."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tmtp.server.certificate import make_self_signed
from tmtp.simulation.verification import verify
from tmtp.simulation.verification.script import Conversation, read_conversations
from tmtp.testing import Server, running_server
from tmtp.tests.conftest import site_of_its_own

pytestmark = pytest.mark.once

CERT, KEY = "cert.pem", "key.pem"
OP12 = "op12_quit.conversation"


class Altered(socketserver.ThreadingTCPServer):
    """A server with TLS that passes everything on to another one, and replaces some octets of its answers."""

    daemon_threads = True

    def __init__(self, folder: Path, other: tuple[str, int], old: bytes, new: bytes) -> None:
        make_self_signed(folder / CERT, folder / KEY, ["127.0.0.1"])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / CERT, folder / KEY)
        self.other, self.old, self.new = other, old, new
        super().__init__(("127.0.0.1", 0), Pass)


class Pass(socketserver.BaseRequestHandler):
    server: Altered

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            client = self.server.tls.wrap_socket(self.request, server_side=True)
            with client, socket.create_connection(self.server.other) as other:
                threading.Thread(target=self.answer, args=(other, client), daemon=True).start()
                while octets := client.recv(65536):
                    other.sendall(octets)

    def answer(self, other: socket.socket, client: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while octets := other.recv(65536):
                client.sendall(octets.replace(self.server.old, self.server.new))
            client.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def altered(folder: Path, other: Server, old: bytes, new: bytes) -> Iterator[list[str]]:
    """Run such a server until the block ends; gives the options of tmtpsim for it."""
    with Altered(folder, other.address, old, new) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield [f"--server=127.0.0.1:{server.server_address[1]}", f"--cert={folder / CERT}"]
        server.shutdown()


def verified(*options: str) -> tuple[int, list[str]]:
    """Run `tmtpsim --verify-only`; gives its exit status and the lines that it prints."""
    return tmtpsim("--verify-only", *options)


def tmtpsim(*options: str) -> tuple[int, list[str]]:
    """Run `tmtpsim`; gives its exit status and the lines that it prints."""
    out, status = io.StringIO(), 0
    try:
        call_command("tmtpsim", *options, stdout=out, no_color=True)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, out.getvalue().splitlines()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server without TLS, which the altered ones pass everything on to."""
    with (
        site_of_its_own(tmp_path_factory.mktemp("plain") / "var", migrated=True) as environment,
        running_server(env=environment, plain=True) as server,
    ):
        yield server


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Conversation]]:
    """Leaves only the conversations of one file."""

    def leave(file: str) -> list[Conversation]:
        chosen = [conversation for conversation in read_conversations() if conversation.file == file]
        monkeypatch.setattr(verify, "read_conversations", lambda: chosen)
        return chosen

    return leave


def test_a_running_server_twice(
    migrated_site: dict[str, str], tmp_path: Path, only: Callable[[str], list[Conversation]]
) -> None:
    """It has settings of its own; what it is not verified with is said. test_tmtpsim plays those conversations."""
    conversations = read_conversations()
    cannot = [each for each in conversations if each.server or each.needs_website]
    make_self_signed(tmp_path / CERT, tmp_path / KEY, ["127.0.0.1"])
    own = {"CERT": str(tmp_path / CERT), "KEY": str(tmp_path / KEY), "SITE_NAME": "chess", "WINDOW": 16}
    with running_server(env=migrated_site, tmtp=own, cert=tmp_path / CERT) as server:
        options = [f"--server=127.0.0.1:{server.address[1]}", f"--cert={tmp_path / CERT}"]
        status, (*skipped, summary) = verified(*options)
        agree = len(conversations) - len(cannot)
        expected = f"conversations: {agree} agree, 0 differ, {len(cannot)} skipped"
        assert (status, summary) == (0, expected), skipped
        again = only("op01_register.conversation")  # the names of the first time are taken
        assert verified(*options) == (0, [f"conversations: {len(again)} agree, 0 differ, 0 skipped"])
    assert [line.partition(": needs ")[0] for line in skipped] == [f"skipped {each.name}" for each in cannot]
    closed = 'op01_register_closed: registration is closed: needs a server with {"OPEN_REGISTRATION": false} in TMTP'
    assert f"skipped {closed}" in skipped
    assert "skipped blocked: unblocked, it comes again: needs the website" in skipped


def test_a_server_that_answers_one_thing_wrongly(
    plain: Server, tmp_path: Path, only: Callable[[str], list[Conversation]]
) -> None:
    conversations = only(OP12)
    with altered(tmp_path, plain, b'"error":"logout ok"', b'"error":"logout no"') as options:
        status, lines = verified(*options)
    ended = [each for each in conversations if any("logout ok" in line.rest for line in each.blocks[0])]
    wrong = [line for each in ended for line in each.blocks[0] if "logout ok" in line.rest]
    *different, summary, end = lines
    assert len(different) == len(wrong) > 0
    for said, line in zip(different, wrong, strict=True):
        received, reason = '{"error":"logout no","op":"quit"}', "error should be 'logout ok'"
        assert said == f"{OP12}:{line.number}: {line.who} received {received} instead of {line.rest}: {reason}"
    agree = len(conversations) - len(ended)
    assert summary == f"conversations: {agree} agree, {len(ended)} differ, 0 skipped"
    assert end == "the server’s answers differ; see above"
    assert status == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("op11_pulse.conversation", b'"op":"quit"', b'"op":"quid"', '"op":"quid"'),
        ("op12_quit.conversation", b'"op":"ack"', b'"op" :"ack"', "has no valid answer"),  # the length is wrong
        ("op09_ping.conversation", b"headsum", b"headsun", "from, id or posted|headsum is wrong"),
        ("op07_post.conversation", b'"posted":"2', b'"posted":"3', "headsum is wrong"),
    ],
)
def test_what_is_wrong_is_said(
    file: str,
    old: bytes,
    new: bytes,
    text: str,
    plain: Server,
    tmp_path: Path,
    only: Callable[[str], list[Conversation]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(file)
    monkeypatch.setattr(verify, "LINK_PATIENCE", 1.0)
    with altered(tmp_path, plain, old, new) as options:
        status, lines = verified(*options)
    assert status == 1
    assert any(line.startswith(f"{file}:") and re.search(text, line) for line in lines), lines


def test_members_are_simulated_all_the_same(
    plain: Server, tmp_path: Path, only: Callable[[str], list[Conversation]]
) -> None:
    """And the exit status says that an answer was wrong, although no message was."""
    only("op00_tmtprev.conversation")
    with altered(tmp_path, plain, b'"name":"', b'"nama":"') as options:
        status, lines = tmtpsim("2", "--speedup=300", "--cycles=1", *options)
    said = "\n".join(lines)
    assert "op00_tmtprev.conversation:4: ann received" in said
    assert "no problems: no message lost, altered or delivered twice" in said
    assert status == 1


def test_nobody_can_register(migrated_site: dict[str, str], tmp_path: Path) -> None:
    with (
        running_server(env=migrated_site, plain=True, tmtp={"OPEN_REGISTRATION": False}) as server,
        altered(tmp_path, server, b"-", b"-") as options,
        pytest.raises(CommandError, match="The server did not accept the members: register"),
    ):
        verified(*options)
