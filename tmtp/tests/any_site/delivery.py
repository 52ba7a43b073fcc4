"""Scenarios of tmtp.delivery: broadcasts, mails, answers to the site, and workers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from .browser import Browser
from .people import account, device, waiting
from .scenarios import BODY, scenario


@scenario
def broadcasts() -> None:
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from tmtp.delivery.broadcasts import audience, lifecycle, tasks
    from tmtp.delivery.broadcasts.reporting import report
    from tmtp.delivery.models import Broadcast, Segment
    from tmtp.models import Alias, Identity, Node, User

    Account = get_user_model()
    for name in ("ann", "bob", "erik"):
        account(name)
    device("ann")
    if "last_login" in {field.name for field in Account._meta.get_fields()}:
        Account._default_manager.using("default").update(last_login=timezone.now())
    today = timezone.now().date()
    owned = {*Alias.objects.filter(dropped=None).values_list("user", flat=True)}
    owned |= {*Identity.objects.values_list("user", flat=True)}
    for since, before, all_of_them in (
        (today - timedelta(days=1), None, True),
        (today + timedelta(days=2), None, False),
        (None, today + timedelta(days=2), True),
        (None, today - timedelta(days=1), False),
    ):
        for name, value in (("joined_since", since), ("joined_before", before), ("seen_since", since)):
            if value is None or name not in audience.conditions():
                continue
            one = Broadcast.objects.create(subject="News", body=BODY, **{name: value})
            accounts = Account._default_manager.using("default").count()
            assert audience.count(one) == (accounts if all_of_them else 0), (name, value)
            assert audience.describe(one)
    one = Broadcast.objects.create(subject="To all", body=BODY, everyone=True)
    lifecycle.schedule(one, timezone.now() - timedelta(seconds=1))
    tasks.start_due()
    tasks.run(one.pk)
    one.refresh_from_db()
    everyone = [user for user in User.objects.filter(is_site=False) if user.account_id or user.pk in owned]
    assert (one.state, one.sent) == (Broadcast.State.DONE, len(everyone)), (one.state, one.sent, len(everyone))
    assert account("erik").tmtp_user
    assert sum(report(one).values()) >= one.sent
    assert "To all" in waiting(device("ann"))
    again = Broadcast.objects.create(subject="For {{ name|default:'you' }}", body=BODY, everyone=True)
    lifecycle.schedule(again, timezone.now() - timedelta(seconds=1), repeat="daily", times=2)
    tasks.start_due()
    run = again.runs.get()
    tasks.run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.parts.count()) == (Broadcast.State.DONE, len(everyone)), (run.state, run.problem)
    segment = Segment.objects.create(name="Without a device")
    segment.conditions.create(kind="no_device")
    account("new")
    number = User.objects.filter(account__isnull=False).exclude(nodes__kind=Node.Kind.DEVICE).count()
    assert audience.count(Broadcast(segment=segment)) == number + 1
    slow = Broadcast.objects.create(subject="Slowly", body=BODY, everyone=True, rate=6000)
    lifecycle.start(slow)
    tasks.run(slow.pk)
    slow.refresh_from_db()
    assert slow.state == Broadcast.State.DONE, slow.state


@scenario
def notices() -> None:
    import time

    from django.conf import settings
    from django.core import mail
    from django.test import override_settings

    from tmtp.delivery import last_runs
    from tmtp.delivery import notices as notices
    from tmtp.delivery.models import Notice
    from tmtp.messaging import send_message

    mail.outbox = []
    last_runs.record(notices.LAST_RUN, time.time_ns() - 1_000_000)
    device("ann")
    send_message(account("ann"), "Read me", BODY)
    addresses = "tmtp.tests.any_site.delivery.Addresses"
    own = {
        "SITE_URL": settings.TMTP_DELIVERY["SITE_URL"],
        "NOTICE_AFTER": 0.001,
        "EMAIL_ADDRESSES": addresses,
        "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    }
    with override_settings(TMTP_DELIVERY=own):
        time.sleep(0.05)
        assert notices.send_notices() == 1
        assert notices.send_notices() == 0
    (sent,) = mail.outbox
    link = re.search(r"https://shop\.example(\S+)", sent.extra_headers["List-Unsubscribe"].strip("<>"))
    browser = Browser("bob")
    browser.get(link[1])
    browser.post(link[1], {"List-Unsubscribe": "One-Click"})
    assert Notice.objects.get().unsubscribed
    assert Notice.objects.get().account == account("ann")
    browser.get(link[1][:-4] + "/", 404)


class Addresses:
    """A book in which each account has an address."""

    @staticmethod
    def address_by_user(users: Iterable[Any]) -> dict[Any, str]:
        return {one.pk: "ann@example.org" for one in users if one.get_username().startswith("ann")}

    @staticmethod
    def users_by_address(addresses: Iterable[str]) -> dict[str, Any]:
        return {"ann@example.org": account("ann")} if "ann@example.org" in addresses else {}


@scenario
def mail_as_messages() -> None:
    from django.core import mail
    from django.test import override_settings

    from tmtp.delivery.email import EmailBackend

    own = {
        "EMAIL_ADDRESSES": "tmtp.tests.any_site.delivery.Addresses",
        "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
        "EMAIL_ROUTE": "message",
    }
    mail.outbox = []
    with override_settings(TMTP_DELIVERY=own):
        message = mail.EmailMessage("By mail", "Hello", "site@example.org", ["ann@example.org", "x@example.org"])
        EmailBackend().send_messages([message])
    assert "By mail" in waiting(device("ann"))
    assert [one.to for one in mail.outbox] == [["x@example.org"]]


@scenario
def answers_to_the_site() -> None:
    from django.test import override_settings

    from tmtp.delivery.inbound import handling
    from tmtp.delivery.models import Attempt
    from tmtp.messaging import site_user
    from tmtp.protocol.requests import TO_USER, Recipient
    from tmtp.services.messages import posting
    from tmtp.services.messages.posting import Post
    from tmtp.services.people import users

    sender = users.register("phone", "finn of oslo").sender
    head = json.dumps({"alias": "finn of oslo", "subject": "Question"}).encode()
    posting.post([Post(sender, [Recipient(site_user().uid, TO_USER)], head + b"How?", len(head))])
    with override_settings(TMTP_DELIVERY={"HANDLER": "tmtp.tests.any_site.delivery.fail", "HANDLER_BACKOFF": 0.001}):
        handling.handle_messages()
        assert "deliberately" in Attempt.objects.get().error
    with override_settings(TMTP_DELIVERY={"HANDLER": "tmtp.tests.any_site.delivery.reply"}):
        handling.try_again(Attempt.objects.all())
        handling.handle_messages()
    assert handled == ["Question"]
    assert not Attempt.objects.exists()


handled: list[str] = []


def fail(message: Any) -> None:
    raise ValueError("deliberately")


def reply(message: Any) -> None:
    handled.append(message.subject)
    message.reply("So.")


@scenario
def tasks() -> None:
    from django_q.models import Failure, Schedule, Success
    from django_q.tasks import async_task

    from tmtp.delivery import workers

    functions = set(Schedule.objects.using("default").values_list("func", flat=True))
    assert functions
    for function in sorted(functions):
        async_task(function, sync=True)
    assert not Failure.objects.using("default").exists(), Failure.objects.using("default").first().result
    assert set(Success.objects.using("default").values_list("func", flat=True)) >= functions
    assert not workers.are_missing()


@scenario
def the_broadcast_command() -> None:
    from django.core.management import call_command

    Path("body.txt").write_text("Hello, all – “dear” members", encoding="utf-8")
    out = io.StringIO()
    call_command("broadcast", subject="By command", body_file="body.txt", all=True, stdout=out)
    assert "By command" in out.getvalue()
