"""The public client, against a real server over TLS, and over a network that cuts links."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.client import (
    AliasRefused,
    CertificateRefused,
    Client,
    ClientError,
    Device,
    Group,
    GroupChange,
    Invitation,
    LoginRefused,
    Message,
    NotADeviceFile,
    Person,
    Ping,
    Presence,
    RequestRefused,
    connection,
)
from tmtp.client.link import Link, LinkEnded
from tmtp.client.server_address import ServerAddress
from tmtp.protocol.messages import frame
from tmtp.server.certificate import make_self_signed
from tmtp.testing import Server

from .conftest import Servers

pytestmark = pytest.mark.once
PATIENCE = 60.0  # seconds
ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "how-to" / "client.md"
HOSTS = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "::1", ""])
ADDRESSES = st.builds("{}{}:{}".format, st.sampled_from(["", "="]), HOSTS, st.integers())
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(server_for: Servers) -> Server:
    return server_for({})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.01)


def address(server: Server) -> str:
    return "={}:{}".format(*server.address)


def name(of: str) -> str:
    return f"{of} of the client's tests {next(_numbers)}"


def someone(server: Server, of: str = "ann") -> Client:
    return Client(address(server), Device(), alias=name(of))


class Arrivals(asyncio.Queue[Any]):
    """The events of a client that has these kinds of handlers."""

    def __init__(self, client: Client, *kinds: Any) -> None:
        super().__init__()
        for kind in kinds:
            client.on(kind)(self.put_nowait)

    async def next(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await self.get()


class Relay:
    """A network in front of a server. `cut` cuts all links, and `deaf` drops what the server says."""

    def __init__(self, server: Server) -> None:
        self.there, self.deaf, self.passed, self.writers = server.address, False, 0, list[asyncio.StreamWriter]()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._pass_on, "127.0.0.1", 0) as relay:
            yield f"=127.0.0.1:{relay.sockets[0].getsockname()[1]}"
            self.cut()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self.there)
        self.writers += [writer, to_there]
        await asyncio.gather(self._copy(reader, to_there), self._copy(there, writer, back=True))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: bool = False) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                if not (back and self.deaf):
                    writer.write(octets)
                    await writer.drain()
                self.passed += len(octets)


# messages


async def test_two_members_write_to_each_other(server: Server, tmp_path: Path) -> None:
    """Text, files of all sizes, answers in the thread."""
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(3_000_000))
    ann, bob = someone(server), someone(server, "bob")
    to_bob, to_ann = Arrivals(bob), Arrivals(ann, Message)

    @bob.on(Message)
    async def answer(message: Message) -> None:
        files = [file.read() for file in message.attachments]
        paths = [file.save(tmp_path) for file in message.attachments]
        to_bob.put_nowait((message, files, paths))
        await message.reply("Thank you.")

    async with ann, bob:
        sent = await ann.send(Person(bob.alias, bob.uid), "Grüße", "*Hello*", attachments=[large, ("../a.txt", "A")])
        message, files, paths = await to_bob.next()
        thanks = await to_ann.next()
    assert (message.id, message.posted, message.sender) == (sent.id, sent.posted, ann.uid)
    assert (message.subject, message.text, message.author, message.thread) == ("Grüße", "*Hello*", ann.alias, sent.id)
    assert [person.uid for person in message.readers] == [ann.uid, bob.uid]
    assert files == [large.read_bytes(), b"A"]
    assert [path.name for path in paths] == ["large 2.bin", "a.txt"]  # beside the one that was sent
    assert paths[0].read_bytes() == large.read_bytes()
    assert thanks.text == "Thank you."
    assert (thanks.thread, thanks.sender, thanks.is_own) == (sent.id, bob.uid, False)
    assert ann.site == "mnm"


async def test_pings_groups_and_presence(server: Server) -> None:
    ann, bob = someone(server), someone(server, "bob")
    to_ann, to_bob = Arrivals(ann, Ping, GroupChange, Presence), Arrivals(bob, Ping, Message)
    bob.on(Invitation)(lambda invitation: invitation.accept())
    group = name("group")
    async with ann:
        async with bob:
            await bob.announce([ann.uid])
            assert await to_ann.next() == Presence(ann, bob.uid, online=True)
            await bob.ping(ann.alias, "Are you there? 🙂")
            ping = await to_ann.next()
            assert (ping.author, ping.text) == (bob.alias, "Are you there? 🙂")
            await ping.reply("Yes")
            while (own := await to_bob.next()).is_own:
                pass
            assert own.text == "Yes"
            await ann.invite(group, bob.alias, "Join us")
            acts = []
            while "join" not in acts:
                event = await to_ann.next()
                acts += [event.act] if isinstance(event, GroupChange) else []
            await ann.send(Group(group, without_me=True), "News", "No problems.")
            assert (await to_bob.next()).text == "No problems."
            await bob.leave(group)
        while not isinstance(event := await to_ann.next(), Presence):
            pass
        assert not event.online


async def test_what_the_server_refuses_is_raised(server: Server) -> None:
    async with someone(server) as ann:
        with pytest.raises(RequestRefused, match="not found"):
            await ann.ping("nobody of nowhere", "Hello")
        with pytest.raises(RequestRefused):
            await ann.send("nobody", "Hello", "Hello")
        with pytest.raises(ClientError, match="141 UTF-16 units"):
            await ann.ping(ann.alias, "x" * 141)
        for text, alias in (("\udc80", ann.alias), ("Hello", "\udc80"), ("Hello", "x" * 70_000)):
            with pytest.raises(ClientError, match=r"not Unicode|cannot be sent"):
                await ann.ping(alias, text)
        with pytest.raises(ClientError, match="cannot be attached"):
            await ann.send(ann.uid, "Hello", "Hello", attachments=["/nowhere"])
        with pytest.raises(RequestRefused, match="invalid header"):  # the server ends the link
            await ann.request({"op": 6, "gid": "a group", "act": "dance"})
        await ann.add_alias(name("ann, again,"))  # over a new link
    with pytest.raises(ClientError, match="has ended"):
        await ann.ping(ann.alias, "too late")


# acknowledgements


async def test_a_message_is_acknowledged_when_its_handler_has_returned(server: Server) -> None:
    """Until then, and if it raises, the message waits, and arrives again at the next start. Others come after it."""
    device = Device()
    bob = Client(address(server), device, alias=name("bob"))
    async with someone(server) as ann:
        async with bob:
            pass
        for text in ("1", "2"):
            await ann.send(bob.uid, "", text)
        failing = Client(address(server), device)

        @failing.on(Message)
        async def fail(message: Message) -> None:
            raise ZeroDivisionError(message.text)

        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="1"):
                async with asyncio.timeout(PATIENCE):
                    await failing.run()
        last = Client(address(server), device)
        arrived = Arrivals(last, Message)
        async with last:
            assert [(await arrived.next()).id for _ in range(2)]
        # Nothing waits any more: what comes next is what is sent next.
        async with last:
            await ann.send(bob.uid, "", "3")
            assert (await arrived.next()).subject == ""
            assert arrived.empty()


# links that end


async def test_a_request_whose_ack_was_lost_takes_effect_once(server: Server) -> None:
    relay = Relay(server)
    async with relay.running() as through, someone(server, "bob") as bob:
        arrived = Arrivals(bob, Message)
        async with Client(through, Device(), alias=name("ann")) as ann:
            relay.deaf = True
            before = relay.passed
            sending = asyncio.ensure_future(ann.send(bob.uid, "Once", "only"))
            message = await arrived.next()
            while relay.passed == before:
                await asyncio.sleep(0.01)
            relay.deaf = False
            relay.cut()
            assert (await sending).id == message.id
            await ann.send(bob.uid, "Then", "this")
            assert (await arrived.next()).subject == "Then"


async def test_a_message_whose_acknowledgement_was_lost_is_handled_once(server: Server) -> None:
    relay = Relay(server)
    async with relay.running() as through, someone(server) as ann:
        bob = Client(through, Device(), alias=name("bob"))
        handled: list[str] = []

        @bob.on(Message)
        async def handle(message: Message) -> None:
            relay.cut()  # before the acknowledgement
            handled.append(message.subject)

        async with bob:
            await ann.send(bob.uid, "first", "")
            await ann.send(bob.uid, "second", "")
            async with asyncio.timeout(PATIENCE):
                while len(handled) < 2:
                    await asyncio.sleep(0.01)
            await bob.ping(bob.alias, "there is a link")
        assert handled == ["first", "second"]


async def test_an_upload_that_is_cut_begins_again(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(8_000_000))
    relay = Relay(server)
    async with relay.running() as through, someone(server, "bob") as bob:
        arrived = Arrivals(bob)
        bob.on(Message)(lambda message: arrived.put_nowait(message.attachments[0].size))
        async with Client(through, Device(), alias=name("ann")) as ann:
            before = relay.passed
            sending = asyncio.ensure_future(ann.send(bob.uid, "File", "", attachments=[file]))
            while relay.passed < before + 500_000:
                await asyncio.sleep(0.001)
            relay.cut()
            await ann.ping(bob.alias, "in the meantime")
            await sending
        assert await arrived.next() == 8_000_000


NOT_TMTP = [
    b"HTTP/1.1 400\r\n",
    b"0008[1,2,3,4]",
    b'000b{"op":"\xff\xff"}',
    b'0009{"oop":7}',
    b'4e29{"op":%b' % (b"[" * 20_003),
    b'001a{"op":"ohi","datalen":-30}',  # the same message again and again
    b'0023{"op":"x","datalen":1,"datahead":2}x',
    b'0024{"op":"x","datalen":1,"datahead":-1}x',
]


@pytest.mark.parametrize("octets", NOT_TMTP)
async def test_a_server_that_does_not_speak_tmtp(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The client says so and tries again; nothing fails in the event loop."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        link = await Link.connect(server.sockets[0].getsockname(), None, lambda: Link(lambda *message: None))
        with pytest.raises(LinkEnded, match=r"does not speak TMTP|invalid header"):
            await link.greet()
    assert not caplog.records


HELLO = frame(b'{"op":"tmtprev","name":"x"}')


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "it was cut"),
        ([HELLO, frame(rb'{"op":"quit","error":"go \u001b[31m\naway"}')], "go \ufffd[31m away"),
        ([HELLO, frame(b'{"op":"registered","uid":"1111"}')], "without a uid or a nodeid"),
    ],
    ids=["cut", "quit", "registered"],
)
async def test_what_a_strange_server_does_is_told_in_a_line(
    answers: list[bytes], said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for octets in answers:
            await reader.read(1000)  # a request
            writer.write(octets)
        writer.close()

    monkeypatch.setattr(ServerAddress, "checked_pin", lambda self, certificate, pin: "")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        device = Device()
        client = Client("=127.0.0.1:{1}".format(*server.sockets[0].getsockname()), device)
        client._connection._tls = None
        running = asyncio.ensure_future(client.run())
        while not caplog.records:
            await asyncio.sleep(0.01)
        running.cancel()
    assert said in caplog.records[0].getMessage()
    assert not device.uid


# who one is, and who the server is


async def test_a_device_is_registered_once(server: Server, tmp_path: Path) -> None:
    """Its file is for its owner only. An alias that is refused leaves no second user behind at the next try."""
    path, alias = tmp_path / "devices" / "ann.json", name("ann")
    async with Client(address(server), path, alias=alias) as ann:
        uid = ann.uid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Client(address(server), path, alias=alias) as again:
        assert (again.uid, again.alias) == (uid, alias)
    other = tmp_path / "other.json"
    users = set()
    for wanted in (alias, "short", alias, free := name("other")):
        client = Client(address(server), other, alias=wanted)
        with contextlib.nullcontext() if wanted == free else pytest.raises(AliasRefused, match="newalias"):
            async with client:
                pass
        users.add(client.uid)
    assert len(users) == 1
    other.write_text(f'{{"uid": "{uid}", "nodeid": "{client._connection.device.nodeid}"}}')
    with pytest.raises(LoginRefused, match="login failed"):
        await Client(address(server), other).run()


async def test_nobody_is_registered_when_the_file_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    client = Client(address(server), tmp_path / "new" / "device.json")
    (tmp_path / "new").touch()
    with pytest.raises(NotADeviceFile, match=r"cannot write .*device\.json"):
        await client.run()
    assert not client.uid


async def test_a_server_with_another_certificate_learns_nothing(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "ann.json"
    async with Client(address(server), path):
        pass
    make_self_signed(tmp_path / "cert.pem", tmp_path / "key.pem", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            heard.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context) as pretender:
        port = pretender.sockets[0].getsockname()[1]
        with pytest.raises(CertificateRefused, match="another certificate"):
            await Client(f"=127.0.0.1:{port}", path).run()
        with pytest.raises(CertificateRefused, match="no certificate that is valid"):
            await Client(f"127.0.0.1:{port}", Device()).run()
    assert not any(heard)
    cafile = server.log.with_name("cert.pem")
    async with Client("{}:{}".format(*server.address), Device(), cafile=cafile) as verified:
        assert verified.uid


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 20_000, '{"uid": 7}', "\udcff"])
def test_a_file_that_is_not_a_devices_is_not_overwritten(content: str, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(NotADeviceFile, match=r"device\.json is not a device's file"):
        Client("=127.0.0.1:1", path)
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")


@given(st.text("=[]:.a19 ", max_size=12) | ADDRESSES)
def test_an_address_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = ServerAddress.parse(text)
    except ClientError as error:
        assert "HOST:PORT" in str(error)
    else:
        assert ServerAddress.parse(str(parsed)) == parsed


async def test_without_a_server_it_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that cannot connect waits longer each time, at most for LONGEST_WAIT."""
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)
        if len(pauses) == 30:
            raise InterruptedError

    monkeypatch.setattr(connection.asyncio, "sleep", sleep)
    with pytest.raises(InterruptedError):
        await Client("=127.0.0.1:1", Device()).run()
    longest = connection.LONGEST_WAIT
    assert pauses[0] < pauses[4] < pauses[8]
    assert all(longest / 2 <= pause <= longest for pause in pauses[-5:])


# documentation


async def test_the_bot_of_the_guide(server: Server, tmp_path: Path) -> None:
    bot_code, report_code = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for code in (bot_code, report_code):
        assert "=127.0.0.1:7443" in code
        exec(re.sub(r'"(\w+\.json")', rf'"{tmp_path}/\1', code.replace("=127.0.0.1:7443", address(server))), names)
    ann = someone(server)
    arrived = Arrivals(ann, Message)
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    async with ann, names["bot"] as bot:
        await ann.send(bot.uid, "Hello", "How are you?")
        assert (await arrived.next()).text == "You wrote: How are you?"
        await names["report"](ann.uid, tmp_path / "report.pdf")
        assert [file.name for file in (await arrived.next()).attachments] == ["report.pdf"]


async def test_the_bot_that_rolls_dice(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples/bot/bot.py"), address(server)]
    bot = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        ann = someone(server)
        arrived = Arrivals(ann, Ping)
        async with ann, asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(RequestRefused):  # until the bot has registered
                    await ann.ping("the dice bot", "2d1")
                    break
                await asyncio.sleep(0.05)
            while (ping := await arrived.next()).is_own:
                pass
            assert ping.text == "[1, 1] = 2"
    finally:
        bot.terminate()
        await bot.wait()


def test_it_needs_no_settings_of_django() -> None:
    code = "import tmtp.client; from django.conf import settings; assert not settings.configured"
    kept = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    subprocess.run([sys.executable, "-c", code], env=kept, check=True, timeout=60)
