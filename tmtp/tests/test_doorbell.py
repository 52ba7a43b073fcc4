"""Something comes for the site itself: a signal, sent by the server process, says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from django.db import OperationalError, transaction

from tmtp.engine.site_signal import SiteSignal
from tmtp.services.messages import posting
from tmtp.services.messages.posts import Post
from tmtp.services.people.actors import Sender
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.services.queue.queue import discard_queue
from tmtp.signals import site_received

from .people import someone, to

pytestmark = pytest.mark.django_db


@pytest.fixture
def heard() -> Iterator[list[int]]:
    numbers: list[int] = []

    def receive(number: int, **_: object) -> None:
        numbers.append(number)

    site_received.connect(receive)
    yield numbers
    site_received.disconnect(receive)


def site() -> Sender:
    user = site_user()
    return Sender(user.uid, user.pk)


@transaction.atomic
def tell(sender: Sender, *people: Sender) -> int:
    (number,) = posting.post([Post(sender, to(*people), b"{}hello", datahead=2)])
    assert isinstance(number, int)
    return number


def test_each_news_rings_once(heard: list[int]) -> None:
    ann, bell, website = someone(), SiteSignal(), site()
    bell.look()
    assert heard == []
    tell(ann, website)
    number = tell(ann, website)
    for _ in range(3):
        bell.look()
    assert heard == [number]
    tell(ann, someone())
    bell.look()
    assert heard == [number]
    discard_queue(mailbox_of(site_user()).pk)
    bell.look()
    assert heard == [number]


def test_it_waits_for_the_site_to_be_made(heard: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    bell, ann = SiteSignal(), someone()
    bell.look()
    number = tell(ann, site())
    bell.look()
    assert heard == [], "it does not look for the site each time"
    monkeypatch.setattr(bell, "_look_for_it_at", 0.0)
    bell.look()
    assert heard == [number]


def test_a_receiver_that_fails_harms_nothing(heard: list[int]) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a mistake of the site's")

    bell, ann, website = SiteSignal(), someone(), site()
    site_received.connect(fail)
    try:
        number = tell(ann, website)
        bell.look()
    finally:
        site_received.disconnect(fail)
    assert heard == [number]


def test_a_database_that_is_away_is_looked_at_again(heard: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    bell, ann, website = SiteSignal(), someone(), site()
    number = tell(ann, website)

    def away() -> int:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(bell, "_newest", away)
        patch.setattr("tmtp.engine.site_signal.connection.close", lambda: None)
        bell.look()
    bell.look()
    assert heard == [number]


async def test_without_a_listener_it_costs_nothing() -> None:
    await asyncio.wait_for(SiteSignal().work(), 1)
