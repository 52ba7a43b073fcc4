"""Web Push: what a push service and a browser get, and what happens when they refuse it."""

from __future__ import annotations

import re
import socket
import threading
import time
from datetime import timedelta

import pytest
import requests
from django.contrib.auth import SESSION_KEY
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from tmtp.delivery.claims import take
from tmtp.delivery.models import LastRun
from tmtp.mailbox.models import Entry, Thread
from tmtp.mailbox.tests.mailboxes import member, sender_of, threads
from tmtp.messaging import recall, send_message
from tmtp.notices import arrivals, endpoints, push, push_sessions, tasks
from tmtp.notices.models import Decided, Override, Preferences, Push, Subscription
from tmtp.notices.tests.letters import write
from tmtp.services.messages import posting
from tmtp.services.messages.fanout import LATE
from tmtp.tests.people import someone, unique

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def signed_in(node, account=None):
    """Return another browser of a member, with a session of its own."""
    client = Client()
    client.force_login(account or node.account)
    return client


def notices(phone):
    return [one.notice for one in phone.received]


def texts(phone):
    return [(one["title"], one["body"]) for one in notices(phone)]


def pass_time(seconds):
    """Make what is to be sent due, as after so many seconds."""
    for one in Push.objects.all():
        Push.objects.filter(pk=one.pk).update(next_try=one.next_try - seconds * SECOND)


# what is sent


def test_a_new_message_is_pushed_once(phone, ann, bob):
    msgid = write(bob, ann)
    tasks.push()
    tasks.push()
    ((headers, notice),) = [(one.headers, one.notice) for one in phone.received]
    (thread,) = threads(ann)
    assert notice == {
        "title": "bob the second",
        "body": "Lunch?",
        "url": f"/mailbox/message/{msgid}/",
        "tag": f"tmtp-thread-{thread.pk}",
        "number": str(int(msgid, 16)),
    }
    assert (headers["ttl"], headers["urgency"]) == ("86400", "normal")
    assert re.fullmatch(r"[\w-]{1,32}", headers["topic"])
    assert not Push.objects.exists()


@pytest.mark.once
def test_the_link_leads_to_the_thread(phone, client, ann, bob):
    write(bob, ann)
    tasks.push()
    assert "At noon." in client.get(notices(phone)[0]["url"], follow=True).text


@pytest.mark.once
def test_of_several_messages_in_a_thread_the_newest_is_pushed(phone, ann, bob):
    first = write(bob, ann)
    write(bob, ann, "Supper?", thread=first)
    tasks.push()
    write(bob, ann, "Tea?", thread=first)
    tasks.push()
    assert [body for _, body in texts(phone)] == ["Supper?", "Tea?"]
    assert len({one.headers["topic"] for one in phone.received}) == 1


@pytest.mark.once
def test_a_member_may_have_the_notice_say_nothing(phone, ann, bob):
    Preferences.objects.create(account=ann.account, show_sender=False)
    write(bob, ann)
    tasks.push()
    assert texts(phone) == [("mnm", "You have a new message.")]


@pytest.mark.once
def test_so_may_the_site(phone, ann, bob, settings):
    settings.TMTP_NOTICES = {**settings.TMTP_NOTICES, "SHOW_SENDER": False}
    write(bob, ann)
    tasks.push()
    assert texts(phone) == [("mnm", "You have a new message.")]


def test_long_texts_fit(phone, ann, bob):
    write(bob, ann, "𝄞 long " * 60)
    tasks.push()
    ((_, body),) = texts(phone)
    assert len(body) <= 160
    assert body.endswith("…")


@pytest.mark.once
def test_a_ping_is_urgent_and_a_message_of_the_site_is_its(phone, ann, bob):
    posting.ping(bob, "bob the second", "ann the first", b"Hello")
    send_message(ann.account, "Shipped", "Today")
    tasks.push()
    assert sorted(texts(phone)) == [("bob the second", "Ping"), ("mnm website", "Shipped")]
    assert sorted(one.headers["urgency"] for one in phone.received) == ["high", "normal"]


@pytest.mark.once
def test_every_browser_of_the_member_gets_it_and_nobody_elses(phone, client, service, ann, bob):
    other = service.new_browser()
    signed_in(ann).post("/notifications/subscribe/", other.form)
    nobodys, (_, eve) = service.new_browser(), member("eve the third")
    signed_in(eve, eve.user.account).post("/notifications/subscribe/", nobodys.form)
    write(bob, ann)
    tasks.push()
    assert [len(one.received) for one in (phone, other, nobodys)] == [1, 1, 0]


# what is not


def test_nothing_is_pushed_for_what_was_there_before(client, service, ann, bob):
    write(bob, ann)
    browser = service.new_browser()
    client.post("/notifications/subscribe/", browser.form)
    tasks.push()
    assert notices(browser) == []


@pytest.mark.once
def test_nothing_is_pushed_of_what_was_read_or_recalled(phone, client, ann, bob):
    write(bob, ann)
    (msgid,) = send_message(ann.account, "Shipped", "Today")
    phone.status = 503
    tasks.push()
    recall(msgid)
    client.get(f"/mailbox/thread/{threads(ann)[-1].pk}/")
    before = len(phone.received)
    pass_time(60)
    tasks.push()
    assert len(phone.received) == before
    assert not Push.objects.exists()


def test_nothing_is_pushed_of_what_was_muted_archived_or_deleted(phone, ann, bob):
    for subject in ("Muted", "Archived", "Deleted"):
        write(bob, ann, subject)
    threads(ann)
    Thread.objects.filter(subject="Muted").update(muted=True)
    Thread.objects.filter(subject="Archived").update(archived=True)
    Entry.objects.filter(subject="Deleted").update(deleted=timezone.now())
    tasks.push()
    assert notices(phone) == []


@pytest.mark.once
def test_own_messages_are_not_pushed(phone, ann):
    write(sender_of(ann), ann)
    tasks.push()
    assert notices(phone) == []


def test_a_member_who_looks_at_a_page_is_told_when_it_is_left_soon(phone, client, ann, bob):
    client.post("/notifications/looking/", {"visible": "1"})
    write(bob, ann)
    tasks.push()
    assert notices(phone) == []
    client.post("/notifications/looking/")
    pass_time(90)
    tasks.push()
    assert [body for _, body in texts(phone)] == ["Lunch?"]


@pytest.mark.once
def test_a_member_who_goes_on_looking_is_not_told(phone, client, ann, bob):
    client.post("/notifications/looking/", {"visible": "1"})
    write(bob, ann)
    tasks.push()
    client.post("/notifications/looking/", {"visible": "1"})
    pass_time(90)
    tasks.push()
    assert notices(phone) == []
    assert not Push.objects.exists()


def test_exceptions_and_quiet_hours(phone, ann, bob):
    first = write(bob, ann)
    key = threads(ann)[0].key
    Override.objects.create(account=ann.account, what="thread", key=key, choice="never")
    tasks.push()
    Override.objects.update(choice="always")
    write(bob, ann, "Tea?", thread=first)
    now = timezone.now()
    quiet = {"quiet_from": (now - 60 * SECOND).time(), "quiet_until": (now + 60 * SECOND).time(), "time_zone": "UTC"}
    Preferences.objects.update_or_create(account=ann.account, defaults=quiet)
    tasks.push()
    assert notices(phone) == []
    Preferences.objects.update(quiet_from=None)
    write(bob, ann, "Supper?", thread=first)
    tasks.push()
    assert [body for _, body in texts(phone)] == ["Supper?"]


# sign-out


def test_sign_out_ends_the_subscription(phone, client, ann, bob):
    client.post("/sign-out/")
    assert not Subscription.objects.exists()
    write(bob, ann)
    tasks.push()
    assert notices(phone) == []


@pytest.mark.once
@pytest.mark.parametrize("how", ["the session is ended elsewhere", "a new password", "a disabled account"])
def test_a_session_that_has_ended_gets_nothing(phone, client, ann, bob, how):
    if how == "a new password":
        ann.account.set_password("another one")
        ann.account.save()
    elif how == "a disabled account":
        type(ann.account).objects.update(is_active=False)
    else:
        client.session.delete()
    write(bob, ann)
    tasks.push()
    assert notices(phone) == []
    assert not Subscription.objects.exists()


def test_a_session_with_a_new_key_is_the_same_browser(phone, client, ann, bob):
    session = client.session
    session.cycle_key()
    client.cookies["sessionid"] = session.session_key
    assert SESSION_KEY in client.session
    assert Subscription.objects.get().endpoint_hash in client.get("/notifications/").text
    write(bob, ann)
    tasks.push()
    assert len(phone.received) == 1


def test_the_browser_can_unsubscribe_and_subscribe_anew(phone, client, service, ann, bob):
    again = service.new_browser()
    assert client.post("/notifications/subscribe/", again.form).status_code == 204
    assert [one.endpoint for one in Subscription.objects.all()] == [again.endpoint]
    client.post("/notifications/unsubscribe/")
    assert not Subscription.objects.exists()


def test_a_browser_that_another_member_uses_is_theirs(phone, client, ann, bob):
    account, _ = member("eve the third")
    client.force_login(account)
    client.post("/notifications/subscribe/", phone.form)
    assert Subscription.objects.get().account == account


@pytest.mark.once
def test_browsers_of_a_member_are_limited(client, service, ann, monkeypatch):
    monkeypatch.setattr("tmtp.notices.subscriptions.MOST", 2)
    browsers = [service.new_browser() for _ in range(3)]
    for one in browsers:
        signed_in(ann).post("/notifications/subscribe/", one.form)
    assert {one.endpoint for one in Subscription.objects.all()} == {one.endpoint for one in browsers[1:]}


# answers of push services


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_forgotten(phone, ann, bob, status):
    phone.status = status
    write(bob, ann)
    tasks.push()
    assert not Subscription.objects.exists()
    assert not Push.objects.exists()


@pytest.mark.once
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_service_that_is_busy_is_asked_again_later_each_time(phone, ann, bob, status):
    phone.status = status
    write(bob, ann)
    pauses = []
    for _ in range(push.TRIES - 1):
        tasks.push()
        pauses.append(round((Push.objects.get().next_try - timezone.now()).total_seconds(), -1))
        pass_time(3600)
    assert pauses == [30, 60, 120, 240, 480]
    tasks.push()
    assert len(phone.received) == push.TRIES
    assert not Push.objects.exists(), "after the last try it is given up"


@pytest.mark.once
def test_the_pause_that_a_service_asks_for(phone, ann, bob):
    phone.status, phone.answer = 429, {"Retry-After": "600"}
    write(bob, ann)
    tasks.push()
    assert Push.objects.get().next_try > timezone.now() + 590 * SECOND


@pytest.mark.once
@pytest.mark.parametrize("status", [301, 400, 401, 403, 413])
def test_what_is_refused_for_good_is_not_sent_again(phone, ann, bob, status):
    phone.status, phone.answer = status, {"Location": phone.endpoint}
    write(bob, ann)
    tasks.push()
    assert len(phone.received) == 1, "and no redirect is followed"
    assert not Push.objects.exists()
    assert Subscription.objects.exists()


def test_no_connection(phone, ann, bob):
    Subscription.objects.update(endpoint="http://127.0.0.1:9/push")
    write(bob, ann)
    tasks.push()
    assert Push.objects.get().tries == 1


def test_an_answer_without_end_keeps_back_no_others(phone, service, ann, bob, monkeypatch):
    laptop = service.new_browser()
    assert signed_in(ann).post("/notifications/subscribe/", laptop.form).status_code == 204
    original, ended = push._post, threading.Event()

    def post(request, *args):
        if request.push.subscription.endpoint == laptop.form["endpoint"]:
            ended.wait(60)
        return original(request, *args)

    monkeypatch.setattr(push, "WHOLE", 3.0)
    monkeypatch.setattr(push, "_post", post)
    write(bob, ann)
    tasks.push()
    waiting = Push.objects.get()
    ended.set()
    assert len(phone.received) == 1
    assert (waiting.subscription.endpoint, waiting.tries) == (laptop.form["endpoint"], 1)


def test_one_that_cannot_be_sent_does_not_keep_back_others(phone, client, service, ann, bob):
    other = service.new_browser()
    signed_in(ann).post("/notifications/subscribe/", other.form)
    Subscription.objects.filter(endpoint=phone.endpoint).update(p256dh="A")
    write(bob, ann)
    tasks.push()
    assert not Push.objects.exists()
    assert [len(one.received) for one in (phone, other)] == [0, 1]


# workers


def test_what_a_worker_holds_is_left_to_it_and_done_by_another_when_it_died(phone, ann, bob):
    write(bob, ann)
    phone.status = 503
    tasks.push()
    pass_time(60)
    phone.status = 201
    take(Push.objects.all())
    before = len(phone.received)
    tasks.push()
    assert len(phone.received) == before
    Push.objects.update(claimed_until=timezone.now() - SECOND)
    tasks.push()
    assert len(phone.received) == before + 1


def test_a_message_that_comes_while_its_thread_is_pushed_is_pushed_next(phone, ann, bob, monkeypatch):
    first = write(bob, ann)
    finish = push._finish

    def late(one, answer):
        monkeypatch.setattr(push, "_finish", finish)
        write(bob, ann, "Tea?", thread=first)
        tasks.arrivals.decide_some()
        finish(one, answer)

    monkeypatch.setattr(push, "_finish", late)
    tasks.push()
    assert [body for _, body in texts(phone)] == ["Lunch?", "Tea?"]


def test_a_worker_is_asked_only_if_there_is_something(phone, ann, bob):
    arrivals.request_pushes(number=1)
    send_message(someone(unique("no browser ")).uid, "Sale", "Today")
    arrivals.request_pushes(number=2)
    assert not OrmQ.objects.exists()
    write(bob, ann)
    arrivals.request_pushes(number=3)
    arrivals.request_pushes(number=3)
    assert OrmQ.objects.count() == 1
    tasks.push()
    assert LastRun.objects.get(name=arrivals.REQUESTED).at is None


def test_decisions_are_forgotten(phone, ann, bob):
    write(bob, ann)
    tasks.push()
    assert Decided.objects.exists()
    old = time.time_ns() - 3 * LATE
    Decided.objects.create(node=ann, number=old)
    tasks.push()
    assert not Decided.objects.filter(number=old).exists()


# which addresses are allowed

ALLOWED = [
    "https://push.example.com/x",
    "https://[2606:4700::1111]/x",
    "https://9.9.9.9/x?y=z",
    "https://a.example:443/",
]
FORBIDDEN = [
    "http://push.example.com/x",
    "https://localhost/x",
    "https://127.0.0.1/x",
    "https://127.1/x",
    "https://2130706433/x",
    "https://10.0.0.1/x",
    "https://192.168.1.1/x",
    "https://169.254.169.254/latest",
    "https://[::1]/x",
    "https://[::ffff:10.0.0.1]/x",
    "https://[fe80::1]/x",
    "https://[fc00::1]/x",
    "https://[64:ff9b::a00:1]/x",
    "https://[64:ff9b:1::a00:1]/x",
    "https://[fec0::1]/x",
    "https://[::10.0.0.1]/x",
    "https://[::ffff:0:10.0.0.1]/x",
    "https://0.0.0.0/x",
    "https://intranet/x",
    "https://push.example.com:22/x",
    "https://user@push.example.com/x",
    "https://push.example.com/#x",
    "file:///etc/passwd",
    "https:///x",
    "https://[/x",
    "https://push.example.com:99999/x",
    "https://exämple.org/x",
    "ftp://push.example.com/",
    "javascript:x",
    "https://224.0.0.1/x",
    "https://100.64.0.1/x",
    "https://[2002:a00:1::]/x",
]


@pytest.mark.once
def test_addresses_that_a_browser_may_name(settings):
    settings.TMTP_NOTICES = {}
    assert [one for one in ALLOWED if not endpoints.is_allowed(one)] == []
    assert [one for one in [*FORBIDDEN, "https://a.example/" + "x" * 1000, ""] if endpoints.is_allowed(one)] == []


@pytest.mark.once
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"])
def test_a_name_that_leads_into_the_sites_network_is_not_connected_to(settings, monkeypatch, address):
    settings.TMTP_NOTICES = {}
    connected = []
    found = [(0, 0, 0, "", ("9.9.9.9", 443)), (0, 0, 0, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    monkeypatch.setattr(push_sessions, "create_connection", lambda *args: connected.append(args))
    with pytest.raises(requests.ConnectionError, match="not public"):
        push_sessions.new_session().post("https://push.example.com/x", timeout=1)
    assert connected == []


@pytest.mark.once
def test_plain_http_has_no_way_out(settings):
    settings.TMTP_NOTICES = {}
    with pytest.raises(requests.exceptions.InvalidSchema):
        push_sessions.new_session().post("http://push.example.com/x")


@pytest.mark.once
@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "ftp://push.example.com/"},
        {"endpoint": ""},
        {"p256dh": "AAAA"},
        {"p256dh": "B" + "A" * 86},
        {"p256dh": "é"},
        {"auth": "AAAA"},
        {"auth": ""},
    ],
)
def test_a_subscription_that_no_browser_made_is_refused(client, service, change):
    answer = client.post("/notifications/subscribe/", {**service.new_browser().form, **change})
    assert answer.status_code == 400
    assert "push service cannot be used" in answer.json()["error"]
    assert not Subscription.objects.exists()


def test_a_session_in_a_cookie_cannot_be_subscribed_since_nobody_can_end_it(service, ann, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    answer = signed_in(ann).post("/notifications/subscribe/", service.new_browser().form)
    assert (answer.status_code, Subscription.objects.exists()) == (400, False)


def test_a_visitor_cannot_subscribe(service):
    assert Client().post("/notifications/subscribe/", service.new_browser().form).status_code == 302
    assert not Subscription.objects.exists()
