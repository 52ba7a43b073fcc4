"""TMTP over WebSocket: the adapter to "tcp", backpressure in daphne, origins that the route accepts, the consumer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import connection

from tmtp.engine.engine import Engine
from tmtp.models import Node, ServerLease
from tmtp.routing import PagesOfThisSite, websocket_urlpatterns
from tmtp.server.flow import UNREAD_MAX, DaphneFlow, Flow, flow_of
from tmtp.server.websocket import as_tcp

from .raw_client import frame

CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1006}


# the adapter


class Server:
    """An ASGI server's side of a WebSocket: events from it, and events that were sent to it."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for event in (CONNECT, *events):
            self.events.put_nowait(event)
        self.sent: list[dict[str, Any]] = []
        self.receive, self.send = as_tcp(self.events.get, self.hear, 0.05)

    async def hear(self, event: dict[str, Any]) -> None:
        self.sent.append(event)


def binary(data: bytes) -> dict[str, Any]:
    return {"type": "websocket.receive", "bytes": data}


async def test_binary_messages_are_octets_of_a_stream() -> None:
    server = Server(binary(b"one"), binary(b""), {**binary(b"two"), "text": None}, DISCONNECT)
    assert [await server.receive() for _ in range(5)] == [
        {"type": "tcp.connect"},
        {"type": "tcp.receive", "data": b"one"},
        {"type": "tcp.receive", "data": b"two"},
        {"type": "tcp.disconnect"},
        {"type": "tcp.disconnect"},
    ]
    with pytest.raises(OSError, match="has ended"):
        await server.send({"type": "tcp.send", "data": b"late"})
    assert server.sent == [{"type": "websocket.accept"}]


async def test_each_write_is_a_binary_message_and_the_end_a_close() -> None:
    server = Server()
    await server.receive()
    await server.send({"type": "tcp.send", "data": memoryview(b"a view")[2:]})
    await server.send({"type": "tcp.close", "unread": True})
    await server.send({"type": "tcp.close"})
    assert server.sent[1:] == [
        {"type": "websocket.send", "bytes": b"view"},
        {"type": "websocket.close", "code": 1000, "reason": ""},
    ]
    assert await server.receive() == {"type": "tcp.disconnect"}


async def test_text_is_refused() -> None:
    server = Server({"type": "websocket.receive", "text": '0008{"op":0}'}, binary(b"more"))
    await server.receive()
    assert await server.receive() == {"type": "tcp.disconnect"}
    assert [(event["type"], event.get("code")) for event in server.sent[1:]] == [("websocket.close", 4003)]


async def test_a_link_closed_before_it_is_received_from_is_not_accepted() -> None:
    server = Server()
    await server.send({"type": "tcp.close"})
    assert [event["type"] for event in server.sent] == ["websocket.close"]
    assert server.events.empty(), "a WebSocket is refused once it has asked to connect"


class Stuck(Server):
    """A transport whose peer reads nothing."""

    async def hear(self, event: dict[str, Any]) -> None:
        if event["type"] != "websocket.accept":
            await asyncio.Event().wait()


async def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    server = Stuck()
    await server.receive()
    waiting = asyncio.ensure_future(server.receive())
    for wrong in ("takes nothing", "has ended"):
        with pytest.raises(OSError, match=wrong):
            await server.send({"type": "tcp.send", "data": b"x"})
    assert await waiting == {"type": "tcp.disconnect"}
    await server.send({"type": "tcp.close"})


# backpressure in daphne


class Transport:
    def __init__(self) -> None:
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return partial(self.done.append, name)


class Daphne:
    """The object to which daphne binds its `send`."""

    def __init__(self) -> None:
        self.application_queue: Any = asyncio.Queue()
        self.transport = Transport()
        self.producer: Any = None
        self.unregisterProducer = partial(self.registerProducer, None, True)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    async def handle_reply(self, event: dict[str, Any]) -> None:
        pass


async def send(daphne: Any, event: dict[str, Any]) -> None:
    """The method of daphne's server."""


async def test_pressure_is_only_put_on_daphne() -> None:
    assert type(flow_of(Transport().anything)) is Flow
    assert type(flow_of(lambda event: None)) is Flow


async def test_what_is_not_received_is_bounded() -> None:
    daphne = Daphne()
    queue = daphne.application_queue
    flow = flow_of(partial(send, daphne))
    for _ in range(UNREAD_MAX // 512 + 1):
        daphne.application_queue.put_nowait(binary(b"x"))  # small messages count more than their octets
    assert daphne.transport.done == ["pauseProducing"], "once"
    while not queue.empty():
        assert daphne.transport.done == ["pauseProducing"]
        await flow.receive(queue.get)
    assert daphne.transport.done == ["pauseProducing", "resumeProducing"]


async def test_sending_waits_until_the_connection_has_room() -> None:
    flow = DaphneFlow(daphne := Daphne())
    await flow.drained()
    daphne.producer.pauseProducing()
    waiting = asyncio.ensure_future(flow.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    daphne.producer.resumeProducing()
    await waiting
    daphne.producer.pauseProducing()
    waiting = asyncio.ensure_future(flow.drained())
    await asyncio.sleep(0)
    daphne.application_queue.put_nowait(DISCONNECT)
    with pytest.raises(OSError, match="has ended"):
        await waiting


async def test_after_the_close_what_comes_is_dropped() -> None:
    flow = DaphneFlow(daphne := Daphne())
    queue = flow._queue
    daphne.application_queue.put_nowait(binary(b"x" * 2 * UNREAD_MAX))
    flow.end()
    assert daphne.producer is None
    assert daphne.transport.done == ["pauseProducing", "resumeProducing"], "or the peer's close would not be seen"
    for event in (binary(b"x"), DISCONNECT):
        daphne.application_queue.put_nowait(event)
    assert [queue.get_nowait()["type"] for _ in range(queue.qsize())] == [
        "websocket.receive",
        "websocket.disconnect",
    ]


# the route


@pytest.mark.django_db  # Channels closes database connections
@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        (b"https://chess.example", True),
        (b"http://chess.example:8000", True),
        (b"https://chess.example.evil.example", False),
        (b"null", False),
        (b"", False),
    ],
)
async def test_pages_of_other_sites_are_kept_out(settings: Any, origin: bytes | None, welcome: bool) -> None:
    settings.ALLOWED_HOSTS = ["chess.example"]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    headers = [] if origin is None else [(b"origin", origin)]
    link = WebsocketCommunicator(PagesOfThisSite(application), "/tmtp", headers=headers)  # type: ignore[arg-type]
    assert (await link.connect(60))[0] is welcome
    await link.disconnect(timeout=60)


# the consumer


@pytest.fixture
async def engine(transactional_db: None) -> AsyncIterator[None]:
    """Stop the engine that a link has started."""
    yield
    if Engine._current:
        await Engine._current.stop()


def dial() -> WebsocketCommunicator:
    return WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/tmtp")


async def look(query: Callable[[], Any]) -> Any:
    """Run a query over a connection that is closed again, and return its result."""

    def work() -> Any:
        try:
            return query()
        finally:
            connection.close()

    return await asyncio.to_thread(work)


async def heard(link: WebsocketCommunicator) -> list[dict[str, Any]]:
    """Return the headers of the frames in the next message. They have no data here."""
    data = await link.receive_from(60)
    assert isinstance(data, bytes)
    headers = []
    while data:
        end = 4 + int(data[:4], 16)
        headers.append(json.loads(data[4:end]))
        data = data[end:]
    return headers


async def test_a_link_from_hello_to_goodbye(engine: None) -> None:
    link = dial()
    assert (await link.connect(60))[0]
    octets = frame(op=0, id="1") + frame(op=1, newnode="browser", newalias="_")
    for at in range(0, len(octets), 7):
        await link.send_to(bytes_data=octets[at : at + 7])
    told = await heard(link)
    while told[-1]["op"] != "info":
        told += await heard(link)
    assert [header["op"] for header in told] == ["tmtprev", "registered", "info"]
    assert await look(Node.objects.filter(server__address="").count) == 1
    await link.send_to(bytes_data=frame(op=12))
    assert await heard(link) == [{"op": "quit", "error": "logout ok"}]
    assert (await link.receive_output(60))["code"] == 1000
    await link.wait(60)
    assert Engine._current
    assert not Engine._current.links


async def test_limits_are_those_of_tcp(engine: None, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"links_per_address": 1}}
    first, second = dial(), dial()
    assert (await first.connect(60))[0]
    assert not (await second.connect(60))[0]
    await first.disconnect(timeout=60)
    again = dial()
    assert (await again.connect(60))[0]
    await again.disconnect(timeout=60)


async def test_a_silent_link_is_closed(engine: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TMTP = {**settings.TMTP, "LOGIN_TIMEOUT": 0.01}
    monkeypatch.setattr("tmtp.engine.background.TICK", 0.02)
    link = dial()
    await link.connect(60)
    assert (await link.receive_output(60))["type"] == "websocket.close"
    await link.disconnect(timeout=60)


async def test_a_cancelled_link_frees_its_node_and_the_process_its_lease(engine: None) -> None:
    """This is what daphne does when it stops, and Python afterwards."""
    link = dial()
    await link.connect(60)
    await link.send_to(bytes_data=frame(op=0, id="1") + frame(op=1, newnode="browser", newalias="_"))
    while (await heard(link))[-1]["op"] != "info":
        pass
    current = Engine._current
    assert current
    link.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await link.future
    assert not current.links
    current._end_with_process()
    assert not await look(ServerLease.objects.exists)
    assert not await look(Node.objects.filter(server__isnull=False).exists)
