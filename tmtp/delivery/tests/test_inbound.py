"""Members' messages to the site reach its handler, and are not lost if it fails."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from tmtp.delivery import claims, tasks, workers
from tmtp.delivery.inbound import handling
from tmtp.delivery.inbound.messages import InboundMessage
from tmtp.delivery.models import Attempt
from tmtp.delivery.private_errors import TaskFailed
from tmtp.models import Message
from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.mailbox import messages_of
from tmtp.services.messages.posts import Post
from tmtp.services.people import linking
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_alias, site_user
from tmtp.services.queue.queue import Outgoing, enqueue
from tmtp.services.storage import copies, spool
from tmtp.tests.buckets import use_bucket
from tmtp.tests.people import someone, waiting

pytestmark = pytest.mark.django_db

asked: list[str] = []
taken: list = []
behave = []  # what the handler does in each call; nothing after the last


def handler(answer):
    taken.append(answer)
    if behave:
        behave.pop(0)(answer)


async def slow_handler(answer):
    taken.append(answer)


class SlowObject:
    """A handler whose `__call__` is async, which `inspect.iscoroutinefunction` does not detect."""

    async def __call__(self, answer):
        taken.append(answer)


slow_object = SlowObject()


def decorated(answer):
    return slow_handler(answer)


@pytest.fixture(autouse=True)
def quiet(settings, monkeypatch):
    """Use the test's handler, and enqueue no tasks."""
    settings.TMTP_DELIVERY = {"HANDLER": f"{__name__}.handler", "HANDLER_TRIES": 3}
    for some in (asked, taken, behave):
        some.clear()
    monkeypatch.setattr(handling, "run_soon", asked.append)


@pytest.fixture
def ann():
    return someone("ann of rome")


@transaction.atomic
def write(author, text="Where is it?", head=None, attached=b""):
    """Post to the site as a client does, and return the number."""
    head = {"threadid": "", "alias": "ann of rome", "subject": "Order 17", **(head or {})}
    if attached:
        head["attach"] = [{"name": "u:photo.jpg", "size": len(attached), "ffn": ""}]
    octets = json.dumps(head).encode()
    body = octets + text.encode() + attached
    kept = spool.keep([body], len(body))
    (number,) = posting.post([Post(author, [Recipient(site_user().uid, TO_USER)], kept, datahead=len(octets))])
    assert isinstance(number, int), number
    return number


def left():
    """Return the numbers of the messages that wait for the site."""
    return [message.pk for message in messages_of(mailbox_of(site_user()))]


def later(seconds=10**6):
    """Let all pauses and claims end."""
    past = timezone.now() - timedelta(seconds=seconds)
    Attempt.objects.update(next_try=past)
    Attempt.objects.exclude(claimed_until=None).update(claimed_until=past)


def explode(answer):
    raise RuntimeError("the shop is closed")


def test_a_post_is_parsed(ann, django_capture_on_commit_callbacks):
    member = get_user_model().objects.create(username="ann")
    linking.link_account(linking.User.objects.get(pk=ann.user), member)
    number = write(ann, attached=b"x" * 100_000)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.answers()
    (answer,) = taken
    assert answer.number == number
    assert (answer.author.uid, answer.account, answer.alias) == (ann.uid, member, "ann of rome")
    assert (answer.op, answer.subject, answer.text, answer.thread) == (
        "delivery",
        "Order 17",
        "Where is it?",
        answer.msgid,
    )
    assert left() == []
    assert not Attempt.objects.exists()
    assert not Message.objects.filter(pk=number).exists()


def test_attachments_are_read_in_the_handler(ann):
    read = []
    behave.append(lambda answer: read.extend((file.name, answer.open(file).read()) for file in answer.attachments))
    write(ann, attached=b"octets of a photo")
    tasks.answers()
    assert read == [("photo.jpg", b"octets of a photo")]


def test_a_ping_and_an_invitation(ann):
    alias = site_alias(site_user())
    posting.ping(ann, "ann of rome", alias, b"Hello?")
    groups.invite(ann, "friends of ann", "ann of rome", alias, b"Do come")
    tasks.answers()
    ping, invite = taken
    assert (ping.op, ping.text, ping.alias, ping.account) == ("ping", "Hello?", "ann of rome", None)
    assert (invite.op, invite.text, invite.gid) == ("invite", "Do come", "friends of ann")
    assert left() == []


def test_what_nobody_wrote_is_only_acknowledged(ann):
    site = site_user()
    with transaction.atomic():
        mailbox = mailbox_of(site).pk
        enqueue(
            [Outgoing("member", ann.uid, ann.user, [mailbox], {"act": "join", "gid": "g", "alias": "a"})], batch=None
        )
        enqueue([Outgoing("delivery", site.uid, site.pk, [mailbox], body=b"a copy of its own")], batch=None)
    write(ann, "", {"confirmid": "0123456789abcdef"})
    write(ann, "", {"nodesync": True})
    tasks.answers()
    assert taken == []
    assert left() == []


def test_a_reply_goes_into_the_thread_once(ann):
    first = write(ann)
    again = write(ann, "Please!", {"threadid": Message.objects.get(pk=first).msgid})
    behave.extend([lambda answer: answer.reply("It is *here*.")] * 2)
    tasks.answers()
    assert [answer.number for answer in taken] == [first, again]
    taken[0].reply("It is *here*.")
    heads = [json.loads(header["data"][: header["datahead"]]) for header in waiting(ann)]
    assert [(head["threadid"], head["subject"]) for head in heads] == [(taken[0].msgid, "Order 17")] * 2


def test_a_reply_to_a_ping_begins_a_thread(ann):
    posting.ping(ann, "ann of rome", site_alias(site_user()), b"Hello?")
    behave.append(lambda answer: answer.reply("Hello!"))
    tasks.answers()
    header = waiting(ann)[-1]
    head = json.loads(header["data"][: header["datahead"]])
    assert (head["threadid"], head["subject"]) == ("", "Your message")


def test_nobody_can_be_answered_who_is_gone(ann):
    write(ann)
    Message.objects.update(sender=None)
    tasks.answers()
    assert taken[0].author is taken[0].account is None
    with pytest.raises(Refused, match="no longer exists"):
        taken[0].reply("Hello?")


@pytest.mark.once
def test_a_handler_that_raises_is_called_again_after_longer_and_longer_pauses(ann):
    number = write(ann)
    behave.extend([explode] * 2)
    for tries, pause in ((1, 30), (2, 60)):
        before = timezone.now()
        tasks.answers()
        tasks.answers()
        attempt = Attempt.objects.get(pk=number)
        assert attempt.tries == tries
        assert attempt.dead is None
        assert timedelta(0) <= attempt.next_try - before - timedelta(seconds=pause) < timedelta(seconds=20)
        assert attempt.error.strip().endswith("RuntimeError: the shop is closed")
        assert left() == [number]
        later()
    tasks.answers()
    assert len(taken) == 3
    assert left() == []


def test_one_that_fails_does_not_keep_others_waiting(ann):
    number, other = write(ann), write(ann)
    behave.append(explode)
    tasks.answers()
    assert [answer.number for answer in taken] == [number, other]
    assert left() == [number]


@pytest.mark.once
def test_after_all_tries_it_is_a_dead_letter_until_somebody_says_so(ann, django_capture_on_commit_callbacks):
    number = write(ann)
    behave.extend([explode] * 3)
    for _ in range(5):
        tasks.answers()
        later()
    assert len(taken) == 3
    attempt = Attempt.objects.get(pk=number)
    assert attempt.dead
    assert left() == [number]
    with django_capture_on_commit_callbacks(execute=True):
        assert handling.try_again(Attempt.objects.all()) == 1
    assert asked == [handling.TASK]
    tasks.answers()
    assert len(taken) == 4
    assert left() == []


def test_a_dead_letter_is_discarded(ann):
    number = write(ann)
    behave.extend([explode] * 3)
    for _ in range(3):
        tasks.answers()
        later()
    assert handling.discard(Attempt.objects.filter(pk=number)) == 1
    assert left() == []
    assert not Attempt.objects.exists()


def test_a_message_whose_file_is_gone_is_a_dead_letter_at_once(ann):
    number = write(ann, attached=b"x" * 100_000)
    spool.discard([Message.objects.get(pk=number).spool])
    tasks.answers()
    assert taken == []
    attempt = Attempt.objects.get(pk=number)
    assert attempt.dead
    assert "FileNotFoundError" in attempt.error


def test_a_message_in_a_bucket_that_is_away_is_handled_when_it_is_back(ann, settings, tmp_path, monkeypatch):
    bucket = use_bucket(settings, tmp_path, monkeypatch)
    number = write(ann, attached=b"x" * 100_000)
    copies.path(Message.objects.get(pk=number).spool).unlink()
    bucket.is_away = True
    tasks.answers()
    assert not Attempt.objects.get(pk=number).dead
    bucket.is_away = False
    later()
    tasks.answers()
    assert left() == []


def test_what_a_killed_worker_had_begun_is_taken_up_when_its_claim_has_run_out(ann):
    number = write(ann)
    mailbox = mailbox_of(site_user())
    answer = InboundMessage(messages_of(mailbox).get(), mailbox)
    assert handling.take(answer)  # by the worker that is killed
    assert handling.take(answer) is None
    tasks.answers()
    assert taken == []
    later()
    behave.append(explode)
    tasks.answers()
    assert len(taken) == 1
    assert Attempt.objects.get(pk=number).tries == 2


def test_a_handler_that_kills_its_worker_each_time_is_given_up(ann):
    write(ann)
    mailbox = mailbox_of(site_user())
    answer = InboundMessage(messages_of(mailbox).get(), mailbox)
    for _killed in range(3):
        assert handling.take(answer)
        later()
    tasks.answers()
    assert taken == []
    attempt = Attempt.objects.get()
    assert attempt.dead
    assert "killed" in attempt.error


def test_a_task_that_is_ended_for_taking_too_long_counts_as_a_try(ann):
    def too_long(answer):
        raise SystemExit("Task exceeded maximum timeout value")

    number = write(ann)
    behave.append(too_long)
    with pytest.raises(SystemExit):
        tasks.answers()
    attempt = Attempt.objects.get(pk=number)
    assert (attempt.tries, attempt.claimed_until, attempt.dead) == (1, None, None)


def test_exactly_once_with_the_handlers_own_writes(ann):
    """The handler's writes and the acknowledgement commit together, or not at all."""

    def save_then_fail(answer):
        with transaction.atomic():
            get_user_model().objects.create(username=f"order of {answer.msgid}")
            answer.acknowledge()
            raise RuntimeError("the disk is full")

    def save(answer):
        with transaction.atomic():
            get_user_model().objects.create(username=f"order of {answer.msgid}")
            answer.acknowledge()

    number = write(ann)
    behave.extend([save_then_fail, save])
    tasks.answers()
    assert left() == [number]
    assert not get_user_model().objects.exists()
    later()
    tasks.answers()
    assert left() == []
    assert get_user_model().objects.count() == 1


def test_what_was_acknowledged_while_the_handler_still_ran_never_comes_again(ann):
    def save_then_explode(answer):
        answer.acknowledge()
        explode(answer)

    write(ann)
    behave.append(save_then_explode)
    tasks.answers()
    later()
    tasks.answers()
    assert len(taken) == 1
    assert not Attempt.objects.exists()


def test_a_claim_is_renewed_while_the_handler_runs(settings):
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "CLAIM_FOR": 0.03}
    renewed = []

    class Ours:
        def update(self, **values):
            renewed.append(values["claimed_until"])

    with claims.renewing(Ours()):
        deadline = timezone.now() + timedelta(seconds=10)
        while len(renewed) < 2 and timezone.now() < deadline:
            pass
    assert len(renewed) >= 2
    assert renewed[0] < renewed[1]


def test_a_message_that_another_worker_has_just_acknowledged_is_left_alone(ann):
    write(ann)
    mailbox = mailbox_of(site_user())
    answer = InboundMessage(messages_of(mailbox).get(), mailbox)
    tasks.answers()
    handling.handle(handler, answer)
    assert len(taken) == 1
    assert not Attempt.objects.exists()


def test_without_a_handler_messages_wait(ann, settings):
    number = write(ann)
    settings.TMTP_DELIVERY = {}
    tasks.answers()
    handling.request_handling()
    assert (left(), asked) == ([number], [])


def test_an_async_handler(ann, settings):
    write(ann)
    settings.TMTP_DELIVERY = {"HANDLER": f"{__name__}.slow_handler"}
    tasks.answers()
    assert len(taken) == 1
    assert left() == []


@pytest.mark.parametrize("name", ["slow_object", "decorated"])
def test_a_handler_that_is_async_but_does_not_look_so(ann, settings, name):
    write(ann)
    settings.TMTP_DELIVERY = {"HANDLER": f"{__name__}.{name}"}
    tasks.answers()
    assert len(taken) == 1
    assert left() == []


def test_an_error_with_characters_that_no_database_keeps_or_that_hide(ann):
    """They may come from the message."""
    number = write(ann)

    def strange(answer):
        raise ValueError("".join(map(chr, (0x61, 0, 0x62, 0x20, 0xD800, 0x202E))))

    behave.append(strange)
    tasks.answers()
    assert left() == [number]
    attempt = Attempt.objects.get()
    assert (attempt.tries, attempt.claim) == (1, "")
    assert "a\\x00b \\ud800\\u202e" in attempt.error


def test_a_handler_that_cannot_be_imported_costs_no_message_a_try(ann, settings):
    number = write(ann)
    settings.TMTP_DELIVERY = {"HANDLER": "shop.nowhere"}
    with pytest.raises(TaskFailed, match="ModuleNotFoundError"):
        tasks.answers()
    assert left() == [number]
    assert not Attempt.objects.exists()


def test_one_task_at_a_time_is_asked_for(ann):
    handling.request_handling()
    handling.request_handling(number=1)
    assert asked == [handling.TASK]
    tasks.answers()
    handling.request_handling()
    assert len(asked) == 2


def test_a_task_ends_in_time_and_asks_for_another(ann, monkeypatch):
    write(ann), write(ann)
    calls = iter([True, False])
    monkeypatch.setattr(handling, "Budget", lambda: type("Out", (), {"__bool__": lambda self: next(calls)})())
    tasks.answers()
    assert len(taken) == 1
    assert asked == [handling.TASK]
    assert len(left()) == 1


def test_a_worker_that_starts_is_seen_and_looks(ann):
    from django_q.signals import post_spawn

    assert workers.are_missing()
    post_spawn.send(sender="django_q", proc_name="one")
    assert not workers.are_missing()
    assert asked == [handling.TASK]
