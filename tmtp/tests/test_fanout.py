"""Posts to many: a limited number of entries in each transaction, all or nothing, and each node once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tmtp.models import Group, Member, Message, Node, QueueEntry, User
from tmtp.protocol.requests import TO_GROUP, TO_GROUP_WITHOUT_ME, TO_USER, Recipient
from tmtp.services.errors import Refused
from tmtp.services.messages import directory, fanout
from tmtp.services.messages.fanout import Fanout
from tmtp.services.messages.posting import LATER, post
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.messages.sweeping import Sweeper
from tmtp.services.people import devices
from tmtp.services.people.actors import Sender
from tmtp.services.queue.batch import Batch
from tmtp.services.storage import spool
from tmtp.services.storage.spool import Spooled

from .people import forget, own, someone, to, waiting

pytestmark = pytest.mark.django_db
AT_ONCE = 3
MEMBERS = 10
GID = "the great group"
CROWD = [Recipient(GID, TO_GROUP)]
HOUR = 3600 * 1_000_000_000


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fanout, directory):
        monkeypatch.setattr(module, "AT_ONCE", AT_ONCE)


@pytest.fixture
def crowd() -> list[Sender]:
    """Create a group, and return its joined members. The first two have two nodes each."""
    group = Group.objects.create(gid=GID)
    crowd = [someone(nodes=2 if n < 2 else 1) for n in range(MEMBERS)]
    for place, status in enumerate(Member.Status):
        for person in crowd if status == Member.Status.JOINED else [someone() for _ in range(4)]:
            Member.objects.create(group=group, user_id=person.user, alias=f"member {place}", status=status)
    return crowd


@pytest.fixture
def ann(crowd: list[Sender]) -> Sender:
    return crowd[0]


def begin(item: Post) -> Fanout:
    (begun,) = post([item])
    assert isinstance(begun, Fanout)
    return begun


def finish(begun: Fanout, batch: Batch | None = None) -> int:
    """Take all steps, each of them twice, as after a commit that failed or only seemed to."""
    step: Fanout | int = begun
    while isinstance(step, Fanout):
        before = QueueEntry.objects.count()
        after = step.step(batch=batch)
        assert QueueEntry.objects.count() - before <= AT_ONCE
        step = step.step(batch=batch) if isinstance(after, Fanout) else after
    return step


def got(*people: Sender) -> list[list[int]]:
    """Return the number of messages that wait for each node of these users."""
    return [[len(waiting(node)) for node in own(person)] for person in people]


def test_each_node_of_each_joined_member_gets_one_copy(crowd: list[Sender], ann: Sender) -> None:
    number = finish(begin(Post(ann, CROWD, b"hello")))
    assert got(*crowd) == [[1, 1], [1, 1]] + [[1]] * (MEMBERS - 2)
    assert set(QueueEntry.objects.values_list("message_id", flat=True)) == {number}
    assert QueueEntry.objects.count() == MEMBERS + 2


@pytest.mark.parametrize(("kind", "copies"), [(TO_GROUP, [1, 1]), (TO_GROUP_WITHOUT_ME, [0, 1])])
def test_the_sending_node_is_left_out_of_a_post_to_the_group_without_it(
    crowd: list[Sender], ann: Sender, kind: int, copies: list[int]
) -> None:
    finish(begin(Post(ann, [Recipient(GID, kind)], b"hello")))
    assert got(ann) == [copies]


def test_who_is_named_several_times_gets_one_copy(crowd: list[Sender], ann: Sender) -> None:
    stranger = someone()
    finish(begin(Post(ann, [*to(*crowd[:4], stranger), *CROWD, Recipient(GID, TO_GROUP_WITHOUT_ME)], b"hello")))
    assert got(*crowd[:4], stranger) == [[1, 1], [1, 1], [1], [1], [1]]


def test_a_notification_goes_to_all_it_is_for(crowd: list[Sender], ann: Sender) -> None:
    stranger = someone()
    number = finish(begin(Post(ann, to(stranger), b"hello", notification=Notification(CROWD, b"read it"))))
    assert [head["op"] for head in waiting(stranger)] == ["delivery", "notify"]
    assert [[head["op"] for head in waiting(person)] for person in crowd[2:]] == [["notify"]] * (MEMBERS - 2)
    assert waiting(crowd[5])[0]["postid"] == f"{number:016x}"


def test_what_the_store_collects_is_for_the_nodes_that_have_entries(crowd: list[Sender], ann: Sender) -> None:
    batch = Batch()
    finish(begin(Post(ann, CROWD, b"hello")), batch)
    (parcel,) = batch.parcels
    assert sorted(parcel.nodes) == sorted(QueueEntry.objects.values_list("node_id", flat=True))


def test_small_posts_are_done_at_once_and_one_behind_a_large_one_is_not(crowd: list[Sender], ann: Sender) -> None:
    small = Post(ann, to(crowd[3]), b"small")
    bob = Post(crowd[4], to(crowd[3]), b"small too")
    results = post([small, Post(ann, CROWD, b"large"), small, bob])
    assert [type(result) for result in results] == [int, Fanout, type(LATER), int]
    assert results[2] is LATER
    assert len(waiting(crowd[3])) == 2


def test_groups_that_are_large_only_together_are_written_in_steps_too(ann: Sender) -> None:
    gids = [f"little group {n}" for n in range(AT_ONCE + 1)]
    for gid in gids:
        Member.objects.create(group=Group.objects.create(gid=gid), user_id=ann.user, alias="ann", status=2)
    finish(begin(Post(ann, [Recipient(gid, TO_GROUP) for gid in gids], b"hello")))
    assert got(ann) == [[1, 1]]


# atomicity


def test_nobody_sees_it_before_the_last_step(crowd: list[Sender], ann: Sender) -> None:
    step: Fanout | int = begin(Post(ann, CROWD, b"hello"))
    while isinstance(step, Fanout):
        assert got(*crowd) == [[0, 0], [0, 0]] + [[0]] * (MEMBERS - 2)
        step = step.step()
    assert got(crowd[9]) == [[1]]


def test_entries_of_what_came_to_nothing_are_swept_but_not_of_what_is_under_way(
    crowd: list[Sender], ann: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = begin(Post(ann, CROWD, b"hello")).step()
    monkeypatch.setattr("tmtp.services.messages.sweeping.connection.close", lambda: None)
    now = fanout.clock.now()
    monkeypatch.setattr(fanout.clock, "now", lambda: now + fanout.PATIENCE - HOUR // 3600)
    assert not Sweeper().look()
    monkeypatch.setattr(fanout.clock, "now", lambda: now + 2 * fanout.PATIENCE + HOUR)
    found = Sweeper().look()
    assert 0 < len(found.entries) == QueueEntry.objects.count() <= AT_ONCE
    with pytest.raises(Refused, match="too long"):
        while isinstance(step, Fanout):
            step = step.step()
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("recipients", "reason"),
    [
        (lambda: [*CROWD, Recipient("no such group", TO_GROUP)], "group no such group not found"),
        (lambda: [*CROWD, Recipient("nobody", TO_USER)], "user nobody not found"),
    ],
)
def test_an_unknown_recipient_undoes_the_whole_post(
    ann: Sender, recipients: Callable[[], list[Recipient]], reason: str
) -> None:
    (refused,) = post([Post(ann, recipients(), b"hello")])
    assert isinstance(refused, Refused)
    assert str(refused) == reason
    assert not QueueEntry.objects.exists()


@pytest.mark.parametrize("invited_may", [False, True])
def test_who_may_post_to_a_large_group(crowd: list[Sender], settings: Any, invited_may: bool) -> None:
    settings.TMTP = {**settings.TMTP, "INVITED_MAY_POST": invited_may}

    def may(status: Member.Status | None) -> bool:
        user = User.objects.filter(memberships__status=status).first() if status else None
        sender = Sender(user.uid, user.pk, user.nodes.get().pk) if user else someone()
        (result,) = post([Post(sender, CROWD, b"hello")])
        return isinstance(result, Fanout)

    statuses = (None, Member.Status.BARRED, Member.Status.INVITED)
    assert [may(status) for status in statuses] == [False, False, invited_may]


def test_a_request_that_comes_again_meanwhile_is_the_same_post(crowd: list[Sender], ann: Sender) -> None:
    """It comes over a new link, after the first one was cut."""
    first, again = [begin(Post(ann, CROWD, b"hello", digest=b"d" * 32)) for _ in range(2)]
    number = finish(again)
    assert finish(first) == number
    assert got(ann, crowd[7]) == [[1, 1], [1]]
    assert post([Post(ann, CROWD, b"hello", digest=b"d" * 32)]) == [number]


def test_a_node_that_is_added_meanwhile_gets_it(crowd: list[Sender], ann: Sender) -> None:
    step: Fanout | int = begin(Post(ann, CROWD, b"hello"))
    assert isinstance(step, Fanout)
    step = step.step()  # this step wrote the entries of Ann's nodes
    devices.add_node(ann, "phone")
    new = Node.objects.latest("pk").pk
    batch = Batch()
    while isinstance(step, Fanout):
        step = step.step(batch=batch)
    assert len(waiting(new)) == 2, "the node's own nodeid, and the post"
    assert new in batch.parcels[-1].nodes


def test_a_post_to_many_users_by_name_is_written_in_steps_too() -> None:
    ann, people = someone(nodes=2), [someone(nodes=2) for _ in range(4)]
    forget(*own(ann))
    batch = Batch()
    finish(begin(Post(ann, [*to(*people), *to(people[0])], b"hello")), batch)
    assert got(ann, *people) == [[0, 1], *[[1, 1]] * 4]
    (parcel,) = batch.parcels
    assert sorted(parcel.nodes) == sorted(QueueEntry.objects.values_list("node_id", flat=True))


def test_a_device_that_is_added_before_its_user_is_reached_gets_it() -> None:
    ann, people = someone(), [someone() for _ in range(AT_ONCE + 2)]
    step: Fanout | int = begin(Post(ann, to(*people), b"hello"))
    devices.add_node(people[-1], "phone")  # its queue is a copy of one without the post
    new = Node.objects.latest("pk").pk
    batch = Batch()
    while isinstance(step, Fanout):
        step = step.step(batch=batch)
    assert [message["op"] for message in waiting(new)] == ["user", "delivery"]
    assert new in batch.parcels[-1].nodes


def test_a_spooled_body_stays_for_as_long_as_it_is_needed(
    crowd: list[Sender], ann: Sender, settings: Any, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": str(tmp_path)}
    bodies = [spool.keep([b"x" * 70_000], 70_000) for _ in range(2)]
    files = [spool.path(body.name) for body in bodies if isinstance(body, Spooled)]
    with django_capture_on_commit_callbacks(execute=True):
        first, again = [begin(Post(ann, CROWD, body, digest=b"d" * 32)) for body in bodies]
        first.step()
    assert [file.exists() for file in files] == [True, True]
    with django_capture_on_commit_callbacks(execute=True):
        finish(first)
        finish(again)
    assert [file.exists() for file in files] == [True, False]
