"""The server process sends a signal when a message for the site itself arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from django.db import OperationalError, transaction
from django.dispatch import Signal

from tmtp.engine.site_signal import ArrivalSignal, SiteSignal
from tmtp.models import QueueEntry
from tmtp.services.messages import posting
from tmtp.services.messages.mailbox import remove
from tmtp.services.messages.posts import Post
from tmtp.services.people.actors import Sender
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.services.queue.queue import Outgoing, discard_queue, publish
from tmtp.services.storage.numbers import numbers
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
    ann, signal, website = someone(), SiteSignal(), site()
    signal.look()
    assert heard == []
    tell(ann, website)
    number = tell(ann, website)
    for _ in range(3):
        signal.look()
    assert heard == [number]
    tell(ann, someone())
    signal.look()
    assert heard == [number]
    discard_queue(mailbox_of(site_user()).pk)
    signal.look()
    assert heard == [number]


def test_one_that_commits_after_a_newer_one_rings(heard: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes number messages before they commit them."""
    ann, signal, website = someone(), SiteSignal(), site()
    late = numbers.next()
    tell(ann, website)
    signal.look()
    monkeypatch.setattr(posting.numbers, "next", lambda: late)
    tell(ann, website)
    signal.look()
    assert len(heard) == 2
    discard_queue(mailbox_of(site_user()).pk)
    signal.look()
    monkeypatch.setattr(posting.numbers, "next", lambda: late + 1)
    tell(ann, website)
    signal.look()
    assert len(heard) == 3


@pytest.mark.parametrize("kind", [SiteSignal, ArrivalSignal])
def test_one_that_comes_while_another_goes_rings(kind: type[SiteSignal], monkeypatch: pytest.MonkeyPatch) -> None:
    """As many wait as before, and the newest one is none that is new."""
    ann, signal, website = someone(), kind(), site()
    heard: list[int] = []
    monkeypatch.setattr(signal, "signal", Signal())
    signal.signal.connect(lambda number, **_: heard.append(number), weak=False)
    first, *late = (numbers.next() for _ in range(3))
    for number in (first, late[1]):
        monkeypatch.setattr(posting.numbers, "next", lambda number=number: number)
        tell(ann, website)
        signal.look()
    signal.look()
    rung = len(heard)
    remove(mailbox_of(site_user()), [late[1]])
    monkeypatch.setattr(posting.numbers, "next", lambda: late[0])
    tell(ann, website)
    signal.look()
    assert len(heard) == rung + 1
    signal.look()
    assert len(heard) == rung + 1


def test_a_post_to_many_rings_when_it_is_there(heard: list[int]) -> None:
    """Its entries are written before its message (services.messages.fanout)."""
    ann, signal, mailbox = someone(), SiteSignal(), mailbox_of(site_user())
    number = numbers.next()
    QueueEntry.objects.create(node=mailbox, rank=QueueEntry.Rank.NORMAL, message_id=number)
    signal.look()
    assert heard == []
    assert ann.user
    with transaction.atomic():
        publish(
            [Outgoing("delivery", ann.uid, ann.user, [mailbox.pk], {"datahead": 2}, b"{}text", number=number)], None
        )
    signal.look()
    assert heard == [number]


def test_it_waits_for_the_site_to_be_made(heard: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    signal, ann = SiteSignal(), someone()
    signal.look()
    number = tell(ann, site())
    signal.look()
    assert heard == [], "it does not look for the site each time"
    monkeypatch.setattr(signal, "_look_for_it_at", 0.0)
    signal.look()
    assert heard == [number]


def test_a_receiver_that_fails_harms_nothing(heard: list[int]) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a mistake of the site's")

    signal, ann, website = SiteSignal(), someone(), site()
    site_received.connect(fail)
    try:
        number = tell(ann, website)
        signal.look()
    finally:
        site_received.disconnect(fail)
    assert heard == [number]


def test_a_database_that_is_away_is_looked_at_again(
    heard: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    signal, ann, website = SiteSignal(), someone(), site()
    number = tell(ann, website)

    def away() -> frozenset[int]:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(signal, "_look_up", away)
        patch.setattr("tmtp.engine.site_signal.connection.close", lambda: None)
        for _ in range(3):
            signal.look()
    assert caplog.text.count("nobody knows") == 1, "four times a second would be too much"
    signal.look()
    assert heard == [number]


async def test_without_a_listener_it_costs_nothing() -> None:
    await asyncio.wait_for(SiteSignal().work(), 1)
