"""Sweeping: leftovers are removed, messages that someone waits for stay, and full nodes are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from tmtp.models import Message, Node, QueueEntry
from tmtp.protocol.requests import Recipient
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages import posting, sending, spool_sweeping, sweeping
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.messages.sweeping import Found, Sweeper, apply
from tmtp.services.people.actors import Sender
from tmtp.services.storage import spool, sql

from .people import ops, someone, to, waiting

pytestmark = pytest.mark.django_db
MINUTE = 61_000_000_000


class Clock:
    """A clock that the test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0
        now, monotonic = sweeping.clock.now(), sweeping.time.monotonic_ns()
        monkeypatch.setattr(sweeping.clock, "now", lambda: now + self.passed)
        monkeypatch.setattr(sweeping.time, "monotonic_ns", lambda: monotonic + self.passed)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Open:
    """The test's connection, which a look must not close."""

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def open_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "connection", Open())


@pytest.fixture
def pair() -> tuple[Sender, Sender]:
    return someone("ann of rome"), someone("bob of rome")


def say(sender: Sender, *people: Sender) -> int:
    (number,) = post([Post(sender, to(*people), b"hello")])
    assert isinstance(number, int)
    return number


def sweep(sweeper: Sweeper) -> None:
    apply(sweeper.look())


def test_what_somebody_waits_for_stays(clock: Clock, pair: tuple[Sender, Sender]) -> None:
    say(*pair)
    sweeper = Sweeper()
    for _ in range(4):
        clock.passed += MINUTE
        assert not sweeper.look()
    assert ops(pair[1]) == ["delivery"]


def test_a_message_that_nobody_waits_for_goes_after_two_looks(clock: Clock, pair: tuple[Sender, Sender]) -> None:
    """As after two servers delete the last two entries at once."""
    number = say(*pair)
    QueueEntry.objects.all().delete()
    sweeper = Sweeper()
    assert not sweeper.look(), "too young"
    clock.passed += MINUTE
    assert not sweeper.look(), "seen for the first time"
    clock.passed += 30_000_000_000
    assert not sweeper.look(), "too early"
    clock.passed += MINUTE
    found = sweeper.look()
    assert found.messages == [number]
    apply(found)
    assert not Message.objects.exists()


def test_a_message_that_somebody_waits_for_after_all_stays(clock: Clock, pair: tuple[Sender, Sender]) -> None:
    number = say(*pair)
    QueueEntry.objects.all().delete()
    clock.passed += MINUTE
    sweeper = Sweeper()
    sweep(sweeper)
    clock.passed += MINUTE
    found = sweeper.look()
    assert found.messages == [number]
    sql.add_entries([(pair[1].node or 0, 1, number)])  # an entry of a copied queue, committed only now
    apply(found)
    assert ops(pair[1]) == ["delivery"]


def test_entries_without_a_message_go(clock: Clock, pair: tuple[Sender, Sender]) -> None:
    number = say(*pair)
    sql.add_entries([(pair[1].node or 0, 1, 12345)])
    clock.passed += MINUTE
    sweep(Sweeper())
    assert list(QueueEntry.objects.values_list("message_id", flat=True)) == [number]


@pytest.mark.parametrize("deleted", [False, True])
def test_entries_of_a_node_that_is_gone_go_and_then_its_messages(
    clock: Clock, pair: tuple[Sender, Sender], deleted: bool
) -> None:
    """As after a post that arrives while its node is dropped."""
    ann, bob = pair
    say(ann, bob)
    both = say(bob, ann, bob)
    gone = Node.objects.filter(pk=bob.node)
    gone.update(dropped=timezone.now())
    if deleted:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM tmtp_node WHERE id = {bob.node}")
    sweeper = Sweeper()
    sweep(sweeper)
    assert QueueEntry.objects.count() == 3, "too young"
    for _ in range(3):
        clock.passed += MINUTE
        sweep(sweeper)
    assert [(entry.node_id, entry.message_id) for entry in QueueEntry.objects.all()] == [(ann.node, both)]
    assert list(Message.objects.values_list("pk", flat=True)) == [both]


def test_it_goes_round_in_small_steps(
    clock: Clock, pair: tuple[Sender, Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ENTRIES", 3)
    monkeypatch.setattr(sweeping, "MESSAGES", 2)
    ann, bob = pair
    kept = [say(ann, bob) for _ in range(10)]
    orphans = [say(ann, bob) for _ in range(5)]
    QueueEntry.objects.filter(message_id__in=orphans).delete()
    sql.add_entries([(bob.node or 0, 1, number) for number in range(1, 6)])
    sweeper = Sweeper()
    for _ in range(30):
        clock.passed += MINUTE // 3
        found = sweeper.look()
        assert len(found.entries) <= 3
        apply(found)
    assert list(Message.objects.order_by("pk").values_list("pk", flat=True)) == kept
    assert QueueEntry.objects.count() == 10


@pytest.mark.once
def test_a_files_folder_is_looked_at_in_turn(pair: tuple[Sender, Sender], monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[int] = []
    monkeypatch.setattr(spool_sweeping, "sweep", lambda folders: swept.extend(folders))
    sweeper = Sweeper()
    for _ in range(spool.FOLDERS):
        sweeper.look()
    assert sorted(swept) == list(range(spool.FOLDERS))


@pytest.mark.parametrize("error", [OperationalError("away"), OSError("no such disk")])
def test_what_is_away_is_looked_at_later(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folders: Any) -> None:
        raise error

    monkeypatch.setattr(spool_sweeping, "sweep", fail)
    assert not Sweeper().look()


def test_finding_nothing_is_nothing() -> None:
    assert not Found()
    assert Found(entries=[(1, 1, 1)])
    assert Found(messages=[1])


# full nodes


@pytest.fixture
def two(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"waiting_per_node": 2}}


def fill(person: Sender) -> None:
    """Mark the node as full."""
    Node.objects.filter(pk=person.node).update(full_since=timezone.now())


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("chunk", [1, 2, 5000])
def test_a_user_without_room_is_named_and_gets_room_again(
    pair: tuple[Sender, Sender], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(sweeping, "ENTRIES", chunk)
    ann, bob = pair
    sweeper = Sweeper()

    def round_() -> None:
        for _ in range(20):
            sweep(sweeper)

    numbers = [say(ann, bob), say(ann, bob)]
    round_()
    numbers.append(say(ann, bob))  # two are allowed to wait
    round_()
    (refused,) = post([Post(ann, to(bob), b"one too many")])
    assert isinstance(refused, Refused)
    assert bob.uid in str(refused)
    with pytest.raises(Refused, match="bob of rome"):
        posting.ping(ann, "ann of rome", "bob of rome", b"hi")
    with pytest.raises(Refused, match="bob of rome"):
        groups.invite(ann, "club of all", "ann of rome", "bob of rome")
    assert len(waiting(bob)) == 3
    say(bob, ann)
    sql.delete_entries([(bob.node or 0, 1, numbers[0])])
    round_()
    say(ann, bob)


@pytest.mark.parametrize("chunk", [1, 5000])
def test_octets_that_wait_count_too(
    pair: tuple[Sender, Sender], settings: Any, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"waiting_octets_per_node": 1000}}
    monkeypatch.setattr(sweeping, "ENTRIES", chunk)
    ann, bob = pair
    sweeper = Sweeper()

    def full() -> bool:
        for _ in range(20):
            sweep(sweeper)
        return Node.objects.filter(pk=bob.node, full_since__isnull=False).exists()

    sizes, numbers = (400, 600, 1), []
    for size, expected in zip(sizes, (False, False, True), strict=True):
        numbers += post([Post(ann, to(bob), bytes(size))])
        assert full() == expected
    (refused,) = post([Post(ann, to(bob), b"one too many")])
    assert isinstance(refused, Refused)
    say(bob, ann)
    sql.delete_entries([(bob.node or 0, 1, numbers[0])])  # type: ignore[list-item]
    assert not full()


@pytest.mark.usefixtures("two")
def test_a_device_with_room_is_enough_and_nothing_is_dropped() -> None:
    ann, bob = someone(), someone(nodes=2)
    fill(bob)
    for _ in range(3):
        say(ann, bob)
    assert len(waiting(bob)) == 3


@pytest.mark.usefixtures("two")
def test_a_group_and_the_site_are_heard_always(pair: tuple[Sender, Sender]) -> None:
    ann, bob = pair
    groups.invite(ann, "club of all", "ann of rome", "bob of rome")
    groups.join(bob, "club of all")
    before = len(waiting(bob))
    fill(bob)
    (number,) = post([Post(ann, [Recipient("club of all", 2)], b"hello")])
    assert isinstance(number, int)
    sending.send_message("bob of rome", "Hello", "from the site")
    assert len(waiting(bob)) == before + 2


def test_a_limit_that_is_lifted(settings: Any, pair: tuple[Sender, Sender]) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": None}
    fill(pair[1])
    for _ in range(5):
        sweep(Sweeper())
    assert not Node.objects.filter(full_since__isnull=False)
    say(*pair)


def test_nothing_is_swept_while_an_app_that_names_files_is_not_installed_here(
    settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site has the mailbox, and this process runs on settings of its own."""
    monkeypatch.setattr(spool_sweeping, "FOLDERS", 1)
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path)}
    name, file = spool.create("0" * 32)
    file.close()
    os.utime(spool.path(name), (0, 0))
    sweeper = spool_sweeping.SpoolSweeper()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE tmtp_other_draft (id integer, spool varchar(64))")
        cursor.execute("CREATE TABLE tmtp_other_note (id integer)")
    for _ in range(2):
        sweeper.look()
    assert spool.path(name).exists()
    assert caplog.text.count("tmtp_other_draft may name files") == 1 and "tmtp_other_note" not in caplog.text

    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE tmtp_other_draft")
    sweeper.look()
    assert not spool.path(name).exists()
