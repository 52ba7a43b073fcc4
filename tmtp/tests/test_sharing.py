"""Nobody fills a batch of the store alone: it is shared between users by the number of recipients."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services.messages.fanout import Fanout
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.people.actors import Sender
from tmtp.store.batching import Job, Order, PostJob, ServiceJob
from tmtp.store.sharing import BATCH, ROOM, SHARE, fair_share, share

pytestmark = pytest.mark.once


def post(user: int, recipients: int, link: object = None, note: int = 0) -> PostJob:
    to = [Recipient(str(n), TO_USER) for n in range(recipients)]
    item = Post(Sender(str(user), user, user), to, b"")
    if note:
        item.notification = Notification(to[:1] * note, b"")
    return PostJob(link or f"link of {user}", item, lambda result: None)


def service(link: object) -> ServiceJob[Any]:
    return ServiceJob(link, lambda *, batch: None, lambda result: None)


jobs = st.lists(
    st.one_of(
        st.builds(post, st.integers(1, 5), st.integers(0, 1200), st.sampled_from("abcdefgh")),
        st.builds(service, st.sampled_from("abcdefgh")),
    ),
    max_size=60,
)


@given(jobs)
def test_all_jobs_run_in_the_order_of_their_links_and_nobody_has_more_than_a_share(waiting: list[Job]) -> None:
    expected = {link: [job for job in waiting if job.link == link] for link in "abcdefgh"}
    done: list[Job] = []
    while waiting:
        now, later = share(waiting)
        assert now, "each batch gets on"
        assert {id(job) for job in now} | {id(job) for job in later} == {id(job) for job in waiting}
        if sum(job.cost for job in now) > ROOM:
            posts = Counter(job.user for job in now if job.cost)
            costs = Counter[int | None]()
            for job in now:
                costs[job.user] += job.cost
            assert all(costs[user] <= SHARE for user, number in posts.items() if number > 1)
        done += now
        waiting = later
    assert {link: [job for job in done if job.link == link] for link in "abcdefgh"} == expected


def test_while_there_is_room_nobody_waits() -> None:
    usual = [post(user, 2) for user in range(200)]
    assert share(usual) == (usual, [])
    one = [post(1, 4) for _ in range(ROOM // 4)]
    assert share(one) == (one, [])


def test_who_posts_to_many_waits_and_others_do_not() -> None:
    flood = [post(1, 100, f"link {n}") for n in range(50)]
    bystander, call = post(2, 1), service("someone's link")
    now, later = share([*flood, bystander, call])
    assert now == [*flood[:2], bystander, call]
    assert later == flood[2:]


def test_a_post_with_a_notification_costs_the_recipients_of_both() -> None:
    assert post(1, 3, note=7).cost == 10


@given(st.lists(st.integers(0, 10_000), max_size=300))
def test_shares_fit_into_a_batch_and_small_demands_are_met(demands: list[int]) -> None:
    most = fair_share(demands)
    assert 0 <= most <= SHARE
    assert sum(min(demand, most) for demand in demands) <= BATCH
    if sum(min(demand, SHARE) for demand in demands) <= BATCH // 2:
        assert most == SHARE


def test_posts_to_many_take_turns_by_user() -> None:
    """One user with many links does not make others wait for all of their posts."""
    order = Order()
    jobs: list[Job] = [post(1, 300, f"link {n}") for n in range(10)]
    jobs.append(post(2, 300))
    left = dict.fromkeys(jobs, 3)  # steps
    finished = deque[Job]()
    waiting = order.admit(jobs)
    while order or waiting:
        for job in waiting:
            assert isinstance(job, PostJob)
            left[job] -= 1
            job.result = job.fanout or Fanout((), (), (), 1, b"", 0) if left[job] else 7
        finished += order.settle(waiting)
        waiting = order.admit([])
    assert len(finished) == len(jobs)
    assert jobs[-1] in list(finished)[:2]
