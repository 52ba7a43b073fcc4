"""TMTP over WebSocket through the real daphne, beside a real runtmtp on the same database."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import AsyncToSync
from channels.testing import ApplicationCommunicator, WebsocketCommunicator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mnmsite.handler import Handler
from mnmsite.tests.browser import Site, running_site
from mnmsite.tests.test_docs import DOCS, blocks, run_block
from tmtp.tests.processes import Other
from tmtp.tests.raw_client import Client, LoginRefused


class Link(Client):
    """A link of the test client over WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._reader = asyncio.StreamReader()
        super().__init__(self._reader, self)  # type: ignore[arg-type]
        self._tasks = [asyncio.ensure_future(self._read())]

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                assert isinstance(message, bytes), message
                self._reader.feed_data(message)
        except ConnectionClosed:
            pass
        self._reader.feed_eof()

    def write(self, octets: bytes) -> None:
        self._tasks.append(asyncio.ensure_future(self.socket.send(octets)))

    def close(self) -> None:
        self.socket.transport.abort()


async def dial(site: Site) -> Link:
    """Open a link and do op 0."""
    link = Link(await connect(address(site), proxy=None))
    link.send(op=0, id="1")
    header, _ = await link.receive()
    assert header["op"] == "tmtprev"
    return link


async def login(site: Site, link: Link) -> Client:
    """Log the same device in over TCP, as soon as the other process has freed its node."""
    async with asyncio.timeout(20):
        while True:
            with suppress(LoginRefused):
                return await site.server.login(link.uid, link.nodeid)
            await asyncio.sleep(0.02)


def address(site: Site) -> str:
    return f"ws://127.0.0.1:{site.port}/tmtp"


def connected(other: Other) -> list[int]:
    """Return the numbers of connected nodes and of leases of websites, from the database."""
    return other.run(
        "from tmtp.models import *\n"
        "result = Node.objects.exclude(server=None).count(), ServerLease.objects.filter(address='').count()"
    )


async def test_members_on_both_roads_talk(site: Site) -> None:
    browser, phone = await dial(site), await site.server.register()
    await browser.register()
    phone.post("1", [browser.uid], b"from TCP" * 10_000)
    header, data = await browser.expect(op="delivery")
    assert (header["from"], data) == (phone.uid, b"from TCP" * 10_000)
    browser.acknowledge(header["id"])
    body = os.urandom(300_000)  # is spooled in both directions
    browser.post("1", [phone.uid], body)
    header, data = await phone.expect(op="delivery")
    assert (header["from"], data) == (browser.uid, body)
    with pytest.raises(LoginRefused, match="node already connected"):
        await site.server.login(browser.uid, browser.nodeid)
    for link in (browser, phone):
        link.send(op=12)
        assert await link.ended() == "logout ok"
    (await login(site, browser)).close()


async def test_other_sites_pages_and_text_are_refused(site: Site) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        await connect(address(site), origin="https://evil.example", proxy=None)  # type: ignore[arg-type]
    async with connect(address(site), origin=site.url.rstrip("/"), proxy=None) as link:  # type: ignore[arg-type]
        await link.send('0008{"op":0}')
        async with asyncio.timeout(10):
            await link.wait_closed()
        assert link.close_code == 4003


async def test_a_stopped_website_leaves_nobody_online(site: Site, other: Other) -> None:
    browser, phone = await dial(site), await site.server.register()
    await browser.register()
    hello = await dial(site)
    pages = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(6)]
    said = site.log
    try:
        online, leases = connected(other)
        assert leases == 1
        for _, page in pages:
            page.write(b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answers = [asyncio.ensure_future(page.readline()) for page, _ in pages]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)  # the others are under way
        assert await asyncio.to_thread(site.stop, signal.SIGTERM) == 0
        assert site.log == said
        assert connected(other) == [online - 1, 0]
        again = await site.server.login(browser.uid, browser.nodeid)
        for link in (browser, hello, phone, again, *(page for _, page in pages)):
            link.close()
    finally:
        site.start()  # not in a thread: the process would end with it


@pytest.mark.once
async def test_no_request_waits_for_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that does so would keep a stopped website from ending. WhiteNoise's middleware is only synchronous."""
    waits: list[Any] = []
    monkeypatch.setattr(AsyncToSync, "__call__", lambda *args: waits.append(args))
    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "GET", "path": "/healthz", "query_string": b"", "headers": headers}
    request = ApplicationCommunicator(Handler(), scope)
    await request.send_input({"type": "http.request"})
    assert (await request.receive_output())["status"] == 200
    assert waits == []


@pytest.mark.once
async def test_a_browser_that_stops_reading_costs_no_memory_and_is_cut_off() -> None:
    with running_site(WRITE_TIMEOUT=1) as site:
        slow, phone = await dial(site), await site.server.register()
        await slow.register()
        slow.socket.transport.pause_reading()
        before = peak = memory(site)
        for number in range(3):
            phone.post(str(number), [slow.uid], bytes(20_000_000))
            await phone.expect(op="ack")
        watch = asyncio.ensure_future(login(site, slow))
        while not watch.done():
            peak = max(peak, memory(site))
            await asyncio.sleep(0.02)
        again = await watch
        assert peak - before < 10_000_000
        for link in (phone, again, slow):
            link.close()
        assert await asyncio.to_thread(site.stop, signal.SIGINT) == 0
        assert site.log == ""


def memory(site: Site) -> int:
    """Return the octets of memory that the website uses."""
    assert site.process
    (line,) = [
        line for line in Path(f"/proc/{site.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) * 1024


async def test_a_websocket_to_nowhere_is_refused() -> None:
    from mnmsite.asgi import application

    link = WebsocketCommunicator(application, "/nowhere")
    assert await link.connect(60) == (False, 1000)


@pytest.mark.once
async def test_the_example_of_the_guide(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Its program prints what arrives, and acknowledges it."""
    _, (where, code) = blocks(DOCS / "how-to" / "websocket.md")
    listen = run_block(where, code)["listen"]
    laptop, phone = await dial(site), await site.server.register()
    await laptop.register()
    laptop.send(op=12)
    assert await laptop.ended() == "logout ok"
    phone.post("1", [laptop.uid], b"Are you there?")
    task = asyncio.ensure_future(listen(address(site), laptop.uid, laptop.nodeid))
    said = ""
    async with asyncio.timeout(20):
        while "delivery b'Are you there?'" not in said or "login b''" not in said:
            said += capsys.readouterr().out
            assert not task.done(), said
            await asyncio.sleep(0.02)
    task.cancel()
    assert said.startswith("tmtprev b''\ninfo b''\n")
    phone.close()
