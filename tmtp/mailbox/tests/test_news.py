"""Live news of the mailbox: who hears of new messages, and when the next look happens."""

from __future__ import annotations

import asyncio

import pytest
from channels.testing import WebsocketCommunicator

from mnmsite.asgi import application
from tmtp.mailbox import polling
from tmtp.mailbox.consumers import SIGN_IN, MailboxConsumer
from tmtp.services.storage.hints import wake

pytestmark = [pytest.mark.django_db, pytest.mark.once]


async def test_news_are_for_pages_of_this_site():
    headers = [(b"host", b"localhost"), (b"origin", b"https://elsewhere.example")]
    socket = WebsocketCommunicator(application, "/live/mailbox", headers)
    connected, _code = await socket.connect()
    assert not connected
    await socket.disconnect()


async def test_a_page_of_nobody_is_told_nothing():
    socket = WebsocketCommunicator(MailboxConsumer.as_asgi(), "/live/mailbox")
    await socket.connect()
    assert await socket.receive_output() == {"type": "websocket.close", "code": SIGN_IN}
    await socket.disconnect()


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
    async with asyncio.timeout(10):
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
