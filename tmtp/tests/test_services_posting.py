"""Posts, receipts, queues and spool files: recipients and order, each message once, and no trace of refused posts."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from tmtp.models import Message, Node, QueueEntry, Receipt
from tmtp.protocol.requests import TO_GROUP, TO_GROUP_WITHOUT_ME, TO_USER, Recipient
from tmtp.protocol.values import format_posted
from tmtp.services.errors import Refused
from tmtp.services.groups import groups, ohi
from tmtp.services.messages import posting, spool_sweeping
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import queue, receipts
from tmtp.services.queue.batch import Batch, Parcel
from tmtp.services.queue.queue import Outgoing, enqueue
from tmtp.services.storage import dialect, spool
from tmtp.services.storage.spool import Spooled

from .people import forget, ops, own, someone, to, unique, waiting

pytestmark = pytest.mark.django_db
GID = "friends of rome"
NOBODY = Recipient("%" * 32, TO_USER)


@pytest.fixture
def ann() -> Sender:
    return someone("ann of rome", nodes=3)


@pytest.fixture
def bob() -> Sender:
    return someone("bob of rome", nodes=2)


@pytest.fixture
def group(ann: Sender, bob: Sender) -> list[Recipient]:
    groups.invite(ann, GID, "ann of rome", "bob of rome")
    groups.join(bob, GID)
    forget(*own(ann), *own(bob))
    return [Recipient(GID, TO_GROUP)]


@pytest.fixture(autouse=True)
def spool_folder(settings: Any, tmp_path: Path) -> Path:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path)}
    return tmp_path


def send(item: Post, batch: Batch | None = None) -> int:
    (result,) = post([item], batch=batch)
    assert isinstance(result, int), result
    return result


def refusal(item: Post) -> str:
    (result,) = post([item])
    assert isinstance(result, Refused)
    return str(result)


def got(*people: Sender) -> list[list[int]]:
    """Return the number of messages that wait for each node of these users, in order, and delete them."""
    found = [[len(waiting(node)) for node in own(person)] for person in people]
    forget(*[node for person in people for node in own(person)])
    return found


def spooled(octets: bytes = b"x" * 70_000) -> Spooled:
    name, file = spool.create()
    file.write(octets)
    spool.finish(name, file)
    return Spooled(name, len(octets))


def entry(node: int | None, number: int, rank: int = queue.NORMAL) -> tuple[int, int, int]:
    assert node
    return node, rank, number


# recipients


def test_a_delivery(ann: Sender, bob: Sender) -> None:
    number = send(Post(ann, to(bob), b'{"a":1}text', datahead=7, datasum=99))
    for node in [*own(bob), *own(ann)[1:]]:
        (header,) = waiting(node)
        assert header.pop("headsum")
        assert header == {
            "op": "delivery",
            "id": f"{number:016x}",
            "posted": format_posted(number),
            "from": ann.uid,
            "datalen": 11,
            "datahead": 7,
            "datasum": 99,
            "data": b'{"a":1}text',
        }
    assert waiting(ann) == []
    assert Message.objects.count() == 1


def test_the_sending_node_is_left_out_unless_its_user_is_named(
    ann: Sender, bob: Sender, group: list[Recipient]
) -> None:
    without_me = [Recipient(GID, TO_GROUP_WITHOUT_ME)]
    for recipients, anns, bobs in [
        ([], [0, 1, 1], [0, 0]),
        (to(bob), [0, 1, 1], [1, 1]),
        (to(ann), [1, 1, 1], [0, 0]),
        (group, [1, 1, 1], [1, 1]),
        (without_me, [0, 1, 1], [1, 1]),
        (without_me + group, [1, 1, 1], [1, 1]),
        (without_me + to(ann), [1, 1, 1], [1, 1]),
    ]:
        send(Post(ann, recipients, b"hello"))
        assert got(ann, bob) == [anns, bobs], recipients


def test_each_node_gets_one_copy(ann: Sender, bob: Sender, group: list[Recipient]) -> None:
    send(Post(ann, [*to(bob, bob, ann, ann), *group, *group], b"hello"))
    assert got(ann, bob) == [[1, 1, 1], [1, 1]]


def test_a_group_is_its_joined_members(ann: Sender, bob: Sender, group: list[Recipient]) -> None:
    cat, dan = someone("cat of rome"), someone()
    groups.invite(ann, GID, "ann of rome", "cat of rome")
    forget(*own(ann), *own(bob), cat)
    send(Post(cat, group, b"an invited one may write"))
    assert got(ann, bob, cat) == [[1, 1, 1], [1, 1], [0]]
    assert refusal(Post(dan, group, b"hello")) == f"you are not a member of {GID}"
    groups.drop(ann, GID, "cat of rome")
    assert refusal(Post(cat, group, b"hello")) == f"you are not a member of {GID}"
    site = Sender(dan.uid, dan.user)
    forget(*own(ann), *own(bob))
    send(Post(site, group, b"the site may write to any group"))
    assert got(ann, bob) == [[1, 1, 1], [1, 1]]


def test_a_site_may_keep_the_invited_out(ann: Sender, group: list[Recipient], settings: Any) -> None:
    cat = someone("cat of rome")
    groups.invite(ann, GID, "ann of rome", "cat of rome")
    settings.TMTP = {**settings.TMTP, "INVITED_MAY_POST": False}
    assert refusal(Post(cat, group, b"hello")) == f"you are not a member of {GID}"


def test_an_unknown_recipient_undoes_the_whole_post_but_no_other(ann: Sender, bob: Sender) -> None:
    unknown = [
        NOBODY,
        Recipient("no such group", TO_GROUP),
        Recipient(bob.uid, TO_GROUP),
        Recipient("漢\1'\";", TO_USER),
    ]
    for recipient in unknown:
        batch = [Post(ann, to(bob), b"1"), Post(ann, [*to(bob), recipient], b"2"), Post(ann, to(bob), b"3")]
        first, second, third = post(batch)
        assert isinstance(second, Refused)
        assert recipient.id in str(second)
        assert [header["data"] for header in waiting(bob)] == [b"1", b"3"]
        assert isinstance(first, int)
        assert isinstance(third, int)
        assert first < third
        assert got(ann, bob) == [[0, 2, 2], [2, 2]]
    note = Notification([NOBODY], b"note")
    assert "not found" in refusal(Post(ann, to(bob), b"hello", notification=note))
    assert not Message.objects.exists()


def test_a_batch_costs_a_handful_of_statements(ann: Sender, bob: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: set[str] = set()  # on SQLite, one that inserts rows is run once for each power of two
    run = dialect._run
    post([Post(ann, to(bob), b"hello", digest=bytes(32))])  # makes the index of receipts on SQLite
    monkeypatch.setattr(dialect, "_run", lambda *args: ran.add(args[1].partition("VALUES")[0]) or run(*args))
    batch = [Post(ann, to(bob), b"hello", digest=bytes([n]) * 32) for n in range(1, 201)]
    with CaptureQueriesContext(connection) as queries:
        results = post(batch)
    assert all(isinstance(result, int) for result in results)
    assert 5 <= len(queries) + len(ran) <= 6
    assert results == sorted(results, key=int)  # type: ignore[arg-type]
    assert Message.objects.count() == 201


# notifications


@pytest.mark.parametrize("not_self", [False, True])
def test_a_post_with_a_notification(ann: Sender, bob: Sender, not_self: bool) -> None:
    cat = someone()
    note = Notification(to(cat), b"{}note", notehead=2, notesum=5, not_self=not_self)
    number = send(Post(ann, to(bob), b"{}message", datahead=2, datasum=7, notification=note))
    delivery, notify = waiting(bob)
    assert (delivery["op"], delivery["data"], delivery["datahead"], delivery["datasum"]) == (
        "delivery",
        b"{}message",
        2,
        7,
    )
    assert delivery["notify"] == 2 if not_self else 3
    assert (notify["op"], notify["data"], notify["datahead"], notify["datasum"]) == ("notify", b"{}note", 2, 5)
    assert (delivery["id"], notify["postid"]) == (f"{number:016x}",) * 2
    assert notify["id"] > delivery["id"]
    assert ops(cat) == ["notify"]
    sending, *others = own(ann)
    assert ops(sending) == []
    for node in others:
        assert ops(node) == (["notify"] if not_self else ["delivery", "notify"])


def test_the_sending_node_is_notified_when_its_user_is_named(ann: Sender) -> None:
    send(Post(ann, [], b"message", notification=Notification(to(ann), b"note")))
    assert ops(ann) == ["notify"]
    assert waiting(own(ann)[1])[0]["notify"] == 2


# pings and ohi


def test_a_ping(ann: Sender, bob: Sender) -> None:
    posting.ping(ann, "ann of rome", "bob of rome", "héllo".encode())
    for node in [*own(bob), *own(ann)[1:]]:
        (header,) = waiting(node)
        assert (header["op"], header["alias"], header["to"]) == ("ping", "ann of rome", "bob of rome")
        assert header["data"] == "héllo".encode()
    assert waiting(ann) == []
    posting.ping(ann, "ann of rome", "ann of rome", b"")
    assert [header["datalen"] for header in waiting(ann)] == [0]


def test_whose_pings_are_refused(ann: Sender, bob: Sender) -> None:
    for alias, recipient, reason in [
        ("bob of rome", "ann of rome", "from must identify sender"),
        ("nobody at all", "bob of rome", "from must identify sender"),
        ("ann of rome", "nobody at all", "alias nobody at all not found"),
    ]:
        with pytest.raises(Refused, match=reason):
            posting.ping(ann, alias, recipient, b"")


def test_an_edit_of_the_presence_list_is_told_as_it_was_given(ann: Sender, bob: Sender) -> None:
    ohi.edit(ann, [bob.uid, bob.uid], tell="add")
    for node in own(ann):
        (header,) = waiting(node)
        assert (header["op"], header["type"]) == ("ohiedit", "add")
        assert header["for"] == [{"Id": bob.uid, "Type": 0}] * 2
    forget(*own(ann))
    ohi.edit(ann, [bob.uid], tell="")
    with pytest.raises(Refused, match="not found"):
        ohi.edit(ann, [bob.uid, NOBODY.id], tell="add")
    with pytest.raises(Refused, match="or fewer"):
        ohi.edit(ann, [bob.uid] * 1201, tell="add")
    assert waiting(ann) == []
    ohi.edit(ann, [bob.uid] * 1200, tell="drop")
    assert len(waiting(ann)[0]["for"]) == 1200


# receipts


def test_a_post_sent_again_is_the_same_post(ann: Sender, bob: Sender) -> None:
    item = Post(ann, to(bob), b"hello", digest=b"1" * 32)
    first, again = post([item, item])
    assert first == again == send(item)
    assert got(bob) == [[1, 1]]


def test_another_post_is_another(ann: Sender, bob: Sender) -> None:
    cat = someone()
    same_key = b"1" * 4  # digests with the same receipt key
    digests = [b"1" * 32, same_key + b"2" * 28, same_key + b"3" * 28]
    numbers = {send(Post(sender, to(bob), b"hello", digest=digest)) for sender in (ann, cat) for digest in digests}
    numbers |= {send(Post(ann, to(bob), b"hello")) for _ in range(2)}
    assert len(numbers) == 8


def a_while_ago(seconds: int) -> None:
    Receipt.objects.update(number=F("number") - seconds * 10**9)


def test_after_ten_minutes_it_is_another(ann: Sender, bob: Sender) -> None:
    item = Post(ann, to(bob), b"hello", digest=b"1" * 32)
    first = send(item)
    a_while_ago(590)
    assert send(item) == first - 590 * 10**9
    a_while_ago(11)
    assert send(item) > first
    assert receipts.purge() == 1, "only the old one"


def test_old_receipts_are_forgotten(ann: Sender) -> None:
    for n in range(3):
        send(Post(ann, [], b"hello", digest=bytes([n]) * 32))
    a_while_ago(590)
    assert receipts.purge() == 0
    a_while_ago(11)
    assert (receipts.purge(), receipts.purge()) == (3, 0)


def test_a_receipt_of_another_process_counts_at_once(ann: Sender, bob: Sender) -> None:
    first, item = (Post(ann, to(bob), b"hello", digest=bytes([n]) * 32) for n in (1, 2))
    send(first)
    key = receipts.key_of(ann.node or 0, item.digest)
    Receipt.objects.create(key=key, digest=item.digest, number=time.time_ns())
    assert send(item) == Receipt.objects.latest("pk").number
    assert got(bob) == [[1, 1]]


def test_what_is_undone_has_no_receipt(ann: Sender, bob: Sender) -> None:
    item = Post(ann, to(bob), b"hello", digest=b"1" * 32)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert post([item]) == post([item])
        1 / 0  # noqa: B018
    assert got(bob) == [[0, 0]]
    send(item)
    assert got(bob) == [[1, 1]]


def test_other_requests_are_done_once_too(ann: Sender) -> None:
    def ask(digest: bytes, sender: Sender = ann) -> int:
        return receipts.once(sender.node, digest, partial(devices.add_node, ann, "tablet"), batch=Batch())

    other = Sender(ann.uid, ann.user, own(ann)[1])
    assert ask(b"1" * 32) == ask(b"1" * 32)
    assert ask(b"2" * 32) != ask(b"1" * 32, other)
    assert Node.objects.filter(label="tablet").count() == 3


def test_what_was_refused_has_no_receipt(ann: Sender) -> None:
    cats = f"ping {unique()}"
    ping = partial(posting.ping, ann, "ann of rome", cats, b"")
    item = Post(ann, [NOBODY], b"hello", digest=b"1" * 32)
    assert refusal(item) == refusal(item)
    with pytest.raises(Refused), transaction.atomic():
        receipts.once(ann.node, b"2" * 32, ping, batch=Batch())
    someone(cats)
    assert receipts.once(ann.node, b"2" * 32, ping, batch=Batch()) > 1


# the queue


def test_the_order_is_rank_then_number() -> None:
    ann, bob = someone(), someone()
    first = send(Post(bob, to(ann), b"1"))
    users.add_alias(ann, "ann of rome")
    send(Post(bob, to(ann), b"2"))
    users.add_alias(ann, "ann the second")
    old = first - 10**9
    enqueue([Outgoing("delivery", bob.uid, bob.user, [ann.node or 0], {}, b"0", number=old)], batch=None)
    assert ops(ann) == ["user", "user", "delivery", "delivery", "delivery"]
    assert [header.get("data") or header["newalias"] for header in waiting(ann)] == [
        "ann of rome",
        "ann the second",
        b"0",
        b"1",
        b"2",
    ]


def test_a_page_leaves_out_what_is_known_and_says_whether_it_is_all(ann: Sender) -> None:
    numbers = [send(Post(someone(), to(ann), bytes([n]))) for n in range(6)]
    node = ann.node or 0

    def page(limit: int, known: set[int] = frozenset()) -> tuple[list[int], bool]:  # type: ignore[assignment]
        parcels, complete = queue.read_page(node, limit, known)
        return [parcel.number for parcel in parcels], complete

    assert page(7) == (numbers, True)
    assert page(6) == (numbers, False)
    assert page(4) == (numbers[:4], False)
    assert page(4, set(numbers[:2])) == (numbers[2:4], False)
    assert page(8, set(numbers)) == ([], True)


def test_a_page_is_bounded_in_octets(ann: Sender, bob: Sender) -> None:
    for _ in range(8):
        send(Post(ann, to(bob), b"x" * 60_000))
    page, complete = queue.read_page(bob.node or 0, 64)
    assert not complete
    assert queue.PAGE_OCTETS <= sum(parcel.octets for parcel in page) <= queue.PAGE_OCTETS + 61_000


def test_a_message_goes_with_its_last_acknowledgement(ann: Sender, bob: Sender) -> None:
    number = send(Post(ann, to(bob), b"hello"))
    nodes = [*own(bob), *own(ann)[1:]]
    queue.acknowledge([entry(nodes[0], number, queue.FIRST), entry(nodes[0], number + 1), entry(ann.node, number)])
    assert QueueEntry.objects.count() == 4, "acknowledgements of what is not there do nothing"
    for node in nodes:
        assert Message.objects.count() == 1
        queue.acknowledge([entry(node, number)] * 2)
    assert not Message.objects.exists()
    queue.acknowledge([entry(node, number) for node in nodes])


@pytest.mark.parametrize("count", [1, 300, 1000])
def test_many_acknowledgements_at_once(count: int) -> None:
    ann = someone()
    numbers = [result for result in post([Post(ann, to(ann), b"x")] * count) if isinstance(result, int)]
    keep = numbers.pop()
    queue.acknowledge([entry(ann.node, number) for number in numbers])
    assert [header["id"] for header in waiting(ann)] == [f"{keep:016x}"]
    assert Message.objects.count() == 1


def test_what_the_store_collects_is_what_it_would_read(ann: Sender, bob: Sender) -> None:
    batch = Batch()
    send(Post(ann, [*to(bob)], b"hello", datahead=3, notification=Notification([], b"note")), batch)
    devices.add_node(bob, "tablet", batch=batch)
    parcels = batch.parcels
    by_number = {parcel.number: parcel for parcel in parcels}
    page, _ = queue.read_page(bob.node or 0, 9)
    assert [parcel.number for parcel in page] == [parcels[2].number, parcels[0].number, parcels[1].number]
    for parcel in page:
        collected = by_number[parcel.number]
        assert (parcel.frame, parcel.rank, parcel.spooled) == (collected.frame, collected.rank, collected.spooled)
        assert bob.node in collected.nodes


def test_a_message_for_nobody_is_numbered_and_gone() -> None:
    ann = someone()
    assert send(Post(ann, [], b"I have no other device", digest=b"1" * 32)) > 0
    assert not Message.objects.exists()


# the spool


def test_a_spool_file_goes_after_the_last_acknowledgement(ann: Sender, bob: Sender) -> None:
    body = spooled()
    number = send(Post(ann, to(bob), body))
    one, *others = [*own(bob), *own(ann)[1:]]
    assert queue.acknowledge([entry(one, number)]) == []
    (parcel, *_), _ = queue.read_page(others[0], 9)
    assert isinstance(parcel, Parcel)
    assert (parcel.spooled, parcel.frame[-1:]) == (body, b"}")
    assert spool.path(body.name).read_bytes() == b"x" * body.size
    assert queue.acknowledge([entry(node, number) for node in others]) == [body.name]


def test_a_refused_post_leaves_no_file(ann: Sender, bob: Sender, django_capture_on_commit_callbacks: Any) -> None:
    kept, refused, note = spooled(), spooled(), spooled()
    with django_capture_on_commit_callbacks(execute=True):
        batch = [Post(ann, to(bob), kept), Post(ann, [NOBODY], refused, notification=Notification([], note))]
        post(batch)
        assert spool.path(refused.name).exists(), "until the transaction commits"
    assert [spool.path(body.name).exists() for body in (kept, refused, note)] == [True, False, False]


def test_a_post_sent_again_leaves_one_file(ann: Sender, bob: Sender, django_capture_on_commit_callbacks: Any) -> None:
    bodies = [spooled(), spooled(), spooled()]
    with django_capture_on_commit_callbacks(execute=True):
        post([Post(ann, to(bob), body, digest=b"1" * 32) for body in bodies[:2]])
        post([Post(ann, to(bob), bodies[2], digest=b"1" * 32)])
    assert [spool.path(body.name).exists() for body in bodies] == [True, False, False]


def test_a_discarded_queue_takes_its_files_along(
    ann: Sender, bob: Sender, django_capture_on_commit_callbacks: Any
) -> None:
    cat, bodies = someone(), [spooled(), spooled()]
    for recipients, body in ((to(cat), bodies[0]), (to(cat, bob), bodies[1])):
        send(Post(Sender(bob.uid, bob.user, own(bob)[0]), recipients, body))
    forget(own(bob)[1])
    with django_capture_on_commit_callbacks(execute=True):
        assert queue.discard_queue(cat.node or 0) == 2
    assert [spool.path(body.name).exists() for body in bodies] == [False, True]


def test_files_that_no_message_names_are_swept(ann: Sender, bob: Sender) -> None:
    named, orphan = spooled(), spooled()
    send(Post(ann, to(bob), named))
    assert spool_sweeping.sweep() == 0, "it may be on its way into the database"
    assert spool_sweeping.sweep(older_than=-1) == 1
    assert spool.path(named.name).exists()
    assert not spool.path(orphan.name).exists()
    spool.discard([orphan.name])


def test_what_is_swept_meanwhile_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers that share a spool start at the same time."""
    body = spooled()
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: [*iterdir(folder), folder / "gone"])
    assert spool_sweeping.sweep(older_than=60) == 0
    assert spool.path(body.name).exists()


def test_a_file_and_the_way_to_it_are_on_disk_when_it_is_finished(
    monkeypatch: pytest.MonkeyPatch, spool_folder: Path
) -> None:
    synced = set()
    monkeypatch.setattr(spool.os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    file = spool.path(spooled().name)
    assert synced == {path.stat().st_ino for path in (file, file.parent, spool_folder, spool_folder.parent)}
