"""Live news of the mailbox: who hears of new messages, and when the next look happens."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from accounts.sessions.browsers import store
from mnmsite.asgi import application
from tmtp.mailbox import polling
from tmtp.mailbox.consumers import SIGN_IN, MailboxConsumer
from tmtp.services.storage.hints import wake

pytestmark = [pytest.mark.django_db, pytest.mark.once]


async def test_news_are_for_pages_of_this_site():
    headers = [(b"host", b"localhost"), (b"origin", b"https://elsewhere.example")]
    socket = WebsocketCommunicator(application, "/live/mailbox", headers)
    connected, _code = await socket.connect(60)
    assert not connected
    await socket.disconnect(timeout=60)


async def test_a_page_of_nobody_is_told_nothing():
    socket = WebsocketCommunicator(MailboxConsumer.as_asgi(), "/live/mailbox")
    await socket.connect(60)
    assert await socket.receive_output(60) == {"type": "websocket.close", "code": SIGN_IN}
    await socket.disconnect(timeout=60)


@pytest.mark.django_db(transaction=True)
async def test_a_page_whose_session_has_ended_is_told_nothing_more(client, ann, settings, monkeypatch):
    """It is closed. A page whose session goes on under another key connects again; others are told to sign in."""
    settings.TMTP = {**settings.TMTP, "POLL": 0.02}
    monkeypatch.setattr(polling.QueueChanges, "changed", lambda self, nodes: nodes)
    await sync_to_async(client.force_login)(ann.account)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()), (b"host", b"localhost")]
    headers.append((b"origin", b"http://localhost"))

    socket = WebsocketCommunicator(application, "/live/mailbox", headers)
    await socket.connect(60)
    assert await socket.receive_from(60) == "news"
    await sync_to_async(store(cookie).delete)()
    async with asyncio.timeout(60):
        while (told := await socket.receive_output(60))["type"] == "websocket.send":
            pass
    assert told["type"] == "websocket.close" and told.get("code") != SIGN_IN
    await socket.disconnect(timeout=60)

    again = WebsocketCommunicator(application, "/live/mailbox", headers)
    await again.connect(60)
    assert await again.receive_output(60) == {"type": "websocket.close", "code": SIGN_IN}
    await again.disconnect(timeout=60)


async def test_a_hint_makes_the_next_look_come_sooner(redis_url, settings, monkeypatch):
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [redis_url]}}}
    settings.TMTP = {**settings.TMTP, "POLL": 60}
    looks = []
    monkeypatch.setattr(polling.QueueChanges, "changed", lambda self, nodes: looks.append(nodes) or nodes)
    told = asyncio.Event()
    polling.Poller.add(7, told.set)
    await told.wait()
    told.clear()
    async with asyncio.timeout(60):
        while len(looks) == 1:
            await asyncio.to_thread(wake)  # from another thread, like that of a view
            await asyncio.sleep(0.02)
        await told.wait()
    assert looks[:2] == [[7], [7]]
    polling.Poller.remove(7, told.set)
    assert not polling.Poller.running


async def test_one_look_is_for_all_open_pages(settings, monkeypatch):
    settings.TMTP = {**settings.TMTP, "POLL": 0.001}
    news = iter([[1, 2], [2], []])
    monkeypatch.setattr(polling.QueueChanges, "changed", lambda self, nodes: next(news, []))
    told = []
    pages = [lambda: told.append("first"), lambda: told.append("second"), lambda: told.append("other")]
    for node, page_ in zip((1, 1, 2), pages, strict=True):
        polling.Poller.add(node, page_)
    assert told == ["second"]  # a message may have arrived since its page was rendered
    while told.count("other") < 2:
        await asyncio.sleep(0.001)
    assert sorted(told) == ["first", "other", "other", "second", "second"]
    for node, page_ in zip((1, 1, 2), pages, strict=True):
        polling.Poller.remove(node, page_)
    assert not polling.Poller.running
