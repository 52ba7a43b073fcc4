"""Scenarios that must work on any site. They run one after another in a process of the site.

    python -c "from tmtp.tests.any_site import main; main()" FILE [COMMAND ...]

Run the commands of Django (JSON arrays of words), migrate the database, run the scenarios, and write to FILE, as JSON,
each scenario's name with its traceback, which is empty if it passed. A scenario that fails does not end the others. Of
the site's model of accounts they use only Django's own contract: USERNAME_FIELD, REQUIRED_FIELDS, and managers with
`create_user` and `create_superuser`.
"""

from __future__ import annotations

import io
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import django

FIRST_ID = 1_234_567  # of each table, so that ids formatted for readers, with separators, are noticed
BODY = "It arrives on **Monday**."
SCENARIOS: list[Callable[[], None]] = []


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    SCENARIOS.append(function)
    return function


def main() -> None:
    django.setup()
    out, *commands = sys.argv[1:]
    prepare([json.loads(command) for command in commands])
    found = {}
    for run in SCENARIOS:
        try:
            run()
        except Exception:
            found[run.__name__] = traceback.format_exc()
        else:
            found[run.__name__] = ""
    Path(out).write_text(json.dumps(found))


def prepare(commands: Iterable[list[str]]) -> None:
    """Run the commands, migrate the database, and let ids begin with FIRST_ID."""
    from django.apps import apps
    from django.core.management import call_command
    from django.db import connection
    from django.db.models import AutoField, BigAutoField

    for command in commands:
        call_command(*command)
    call_command("migrate", verbosity=0)
    tables = [
        model._meta.db_table
        for model in apps.get_models()
        if isinstance(model._meta.pk, AutoField | BigAutoField) and model._meta.managed
    ]
    with connection.cursor() as cursor:
        for table in tables:
            if connection.vendor == "sqlite":
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, FIRST_ID])
            else:
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [table, FIRST_ID])


# the parts of scenarios


def account(name: str, **more: Any) -> Any:
    """Return the account with this name, after creating it if it does not exist."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connections

    Account = get_user_model()
    manager = Account._default_manager
    key = f"{name}@example.org" if "email" in Account.USERNAME_FIELD else name
    found = manager.using("default").filter(**{Account.USERNAME_FIELD: key}).first()
    if found:
        return found
    required = dict.fromkeys(Account.REQUIRED_FIELDS, f"{name}@example.org")
    make = manager.create_superuser if more.pop("staff", False) else manager.create_user
    made = make(**{Account.USERNAME_FIELD: key, "password": name}, **required, **more)
    for alias in connections:  # a replica has the existing accounts
        if alias != "default" and settings.DATABASE_ROUTERS:
            made.save(using=alias, force_insert=True)
            made._state.db = alias  # the database from which the site reads accounts
    return made


def device(name: str, alias: str = "") -> Any:
    """Return a node of an account. Create a device if it has none."""
    from tmtp.models import Node
    from tmtp.testing import add_device

    node = Node.objects.filter(user__account=account(name), kind=Node.Kind.DEVICE).first()
    return node or add_device(account(name), "laptop", alias)


def waiting(node: Any) -> list[str]:
    """Return the subjects of the messages that wait for a node."""
    from tmtp.services.messages.mailbox import messages_of

    return [message.header and _subject(message) for message in map(_received, messages_of(node))]


def _received(message: Any) -> Any:
    from tmtp.services.messages.mailbox import Received

    return Received(message)


def _subject(received: Any) -> str:
    return received.subject if received.op == "delivery" else received.op


class Browser:
    """A signed-in browser. Paths are those that `reverse` returns, with the path under which the site is served."""

    def __init__(self, name: str) -> None:
        from django.test import Client

        self.client = Client(raise_request_exception=True)
        self.client.force_login(account(name))

    def post(self, path: str, data: dict[str, Any], status: int = 200) -> str:
        return self._text(self._follow(self.client.post(self._inside(path), data)), path, status)

    def get(self, path: str, status: int = 200) -> str:
        return self._text(self._follow(self.client.get(self._inside(path))), path, status)

    def _follow(self, response: Any) -> Any:
        while response.status_code in (301, 302):
            response = self.client.get(self._inside(response["Location"]))
        return response

    @staticmethod
    def _inside(path: str) -> str:
        from django.conf import settings

        prefix = (settings.FORCE_SCRIPT_NAME or "").rstrip("/")
        assert path.startswith(prefix + "/"), f"{path} leads out of {prefix}"
        return path[len(prefix) :]

    @staticmethod
    def _text(response: Any, path: str, status: int) -> str:
        assert response.status_code in (status, 204), f"{path}: {response.status_code}"
        if response.streaming:
            return b"".join(response.streaming_content).decode()
        return response.content.decode()

    def crawl(self, *starts: str) -> set[str]:
        """Get these pages and the pages of this project that they link to, one of each kind. Return the kinds.

        Pages of one kind differ in numbers, and in the values of their parameters. One parameter is enough, two on a
        site with the setting CRAWL_PAIRS. Links with more are looked at, and not followed.
        """
        from django.conf import settings

        most = 2 if getattr(settings, "CRAWL_PAIRS", False) else 1
        seen: set[str] = set()
        left = list(starts)
        while left:
            path = left.pop()
            assert not re.search(r"\d[.,\s\u00a0\u202f\u066c\u2019']\d{3}", path), f"a number for readers in {path}"
            names = sorted(parse_qs(urlsplit(path).query))
            kind = " ".join([re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "#", urlsplit(path).path), *names])
            if kind in seen or len(names) > most:
                continue
            seen.add(kind)
            text = self.get(path)
            left += [urljoin(path, link) for link in links(text) if urlsplit(urljoin(path, link)).netloc == ""]
        return seen


def links(text: str) -> Iterable[str]:
    """Return the URLs in a page that a browser may get."""
    found = re.findall(r'(?:\shref|hx-get)="([^"#]+)', text)
    plain = (unescape(link) for link in found)
    leave_out = (
        "/logout/",
        "/admin/auth/",
        "/admin/django_q/",
        "/admin/people/",
        "jsi18n",
        "/static/",
        "mailto:",
        "password",
        "javascript:",
    )
    home = reverse("admin:index").removesuffix("admin/")
    return [
        link for link in plain if link.rstrip("/") != home.rstrip("/") and not any(one in link for one in leave_out)
    ]


def reverse(name: str, *args: Any) -> str:
    from django.urls import reverse

    return reverse(name, args=args)


# the scenarios


@scenario
def checks() -> None:
    from django.core.management import call_command

    call_command("check", databases=["default"], fail_level="ERROR", stdout=io.StringIO(), stderr=io.StringIO())
    call_command("makemigrations", "tmtp", "tmtp_delivery", "tmtp_mailbox", check=True, dry_run=True, verbosity=0)


@scenario
def messages_of_the_site() -> None:
    from tmtp.messaging import recall, report, send_message, user_of
    from tmtp.models import SentMessage

    ann, bob = account("ann"), account("bob")
    user_of(account("no device yet"))
    nodes = [device("ann", "ann of rome"), device("bob", "bob of ulm")]
    (msgid, *_) = send_message([ann, bob], "Shipped", BODY, together=True, key="order 7")
    assert send_message([ann, bob], "Shipped", BODY, together=True, key="order 7") == [msgid]
    assert [waiting(node) for node in nodes] == [["Shipped"], ["Shipped"]]
    assert len(report(msgid)) == 2
    recall(msgid)
    assert [waiting(node) for node in nodes] == [[], []]
    assert SentMessage.objects.get().recalled
    send_message(ann, "Once more", BODY)


@scenario
def blocks_and_aliases() -> None:
    from tmtp.messaging import block, unblock, user_of
    from tmtp.models import Alias, User
    from tmtp.services.people import users

    sender = users.register("phone", "carla of york").sender
    carla, ann = User.objects.get(uid=sender.uid), user_of(account("ann"))
    block(ann, carla)
    assert ann.blocks.get().blocked == carla
    unblock(ann, carla)
    users.drop_alias(Alias.objects.get(name="carla of york"))
    assert Alias.objects.get(name="carla of york").dropped


@scenario
def identities() -> None:
    from datetime import UTC, datetime

    from tmtp.messaging import link_account
    from tmtp.models import SpentToken, User
    from tmtp.services.people import users
    from tmtp.services.people.identities import AuthenticationRequired, IdentityShown

    shown = IdentityShown("https://id.example", "dora", b"d" * 32, datetime.now(UTC) + timedelta(minutes=5))
    sender = users.register("phone", "dora of kiel", shown=shown).sender
    user = User.objects.get(uid=sender.uid)
    link_account(user, account("dora"))
    assert account("dora").tmtp_user == user
    try:
        users.register("tablet", "_", shown=shown)
    except AuthenticationRequired:
        pass
    else:
        raise AssertionError("a token was taken twice")
    expired = IdentityShown("https://id.example", "dora", b"e" * 32, datetime.now(UTC) - timedelta(minutes=6))
    users.register("tablet", "_", shown=expired)
    users.register("watch", "_", shown=IdentityShown("https://id.example", "dora", b"f" * 32, shown.expires))
    assert {bytes(one.digest) for one in SpentToken.objects.all()} == {b"d" * 32, b"f" * 32}


@scenario
def broadcasts() -> None:
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from tmtp.delivery.broadcasts import audience, lifecycle, tasks
    from tmtp.delivery.broadcasts.reporting import report
    from tmtp.delivery.models import Broadcast
    from tmtp.models import Alias, Identity, User

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
    addresses = "tmtp.tests.any_site.Addresses"
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
        "EMAIL_ADDRESSES": "tmtp.tests.any_site.Addresses",
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
    with override_settings(TMTP_DELIVERY={"HANDLER": "tmtp.tests.any_site.fail", "HANDLER_BACKOFF": 0.001}):
        handling.handle_messages()
        assert "deliberately" in Attempt.objects.get().error
    with override_settings(TMTP_DELIVERY={"HANDLER": "tmtp.tests.any_site.reply"}):
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
def mailbox() -> None:
    from tmtp.mailbox.models import Entry
    from tmtp.messaging import send_message

    account("gina")
    browser = Browser("gina")
    home = reverse("tmtp_mailbox:mailbox")
    browser.get(home)
    for number in range(35):  # more than one page
        send_message(account("gina"), "Many", f"{BODY} {number}", thread="0123456789abcdef", attachments=[])
    for number in range(55):
        send_message(account("gina"), f"Subject {number}", BODY)
    text = browser.get(home)
    assert "Subject 54" in text
    browser.crawl(home, reverse("tmtp_mailbox:search") + "?q=subject")
    write = reverse("tmtp_mailbox:compose")
    once = re.search(r'name="once"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="once"', browser.get(write))
    data = {"to": account("ann").tmtp_user.uid, "subject": "From the page", "text": "Hello"}
    data |= {"once": (once[1] or once[2])} if once else {}
    sender = re.search(r'name="sender"[^>]*value="([^"]+)"', browser.get(write))
    data |= {"sender": sender[1]} if sender else {}
    browser.post(write, data)
    assert "From the page" in waiting(device("ann"))
    newest = Entry.objects.filter(node__user__account=account("gina"), read=None).order_by("-number").first()
    assert newest is None or browser.get(reverse("tmtp_mailbox:thread", newest.thread_id))


@scenario
def live_news() -> None:
    from asgiref.sync import async_to_sync
    from channels.routing import get_default_application
    from channels.testing import WebsocketCommunicator

    page = Browser("gina")
    path = re.search(r'data-news="([^"]+)"', page.get(reverse("tmtp_mailbox:mailbox")))[1]
    cookie = f"sessionid={page.client.cookies['sessionid'].value}".encode()
    headers = [(b"origin", b"http://testserver"), (b"host", b"testserver"), (b"cookie", cookie)]

    async def listen() -> str:
        socket = WebsocketCommunicator(get_default_application(), path, headers)
        connected, _ = await socket.connect(timeout=10)
        assert connected
        news: str = await socket.receive_from(timeout=10)
        await socket.disconnect()
        return news

    assert async_to_sync(listen)() == "news"


@scenario
def pages_for_members() -> None:
    from tmtp.models import Alias, Node

    account("hugo")
    device("hugo", "hugo of brno")
    browser = Browser("hugo")
    browser.post(reverse("tmtp_pages:aliases"), {"alias": "hugo the second", "name": "hugo the second"})
    assert Alias.objects.filter(user__account=account("hugo")).count() == 2
    browser.post(reverse("tmtp_pages:group_new"), {"gid": "the chess club", "alias": "hugo of brno"})
    browser.post(reverse("tmtp_pages:block", account("ann").tmtp_user.uid), {"name": "ann"})
    pages = [f"tmtp_pages:{name}" for name in ("devices", "device_new", "aliases", "presence", "blocked", "groups")]
    seen = browser.crawl(*map(reverse, pages))
    assert len(seen) > len(pages)
    browser.post(reverse("tmtp_pages:presence"), {"presence": "3"})
    browser.post(reverse("tmtp_pages:device_drop", device("hugo").pk), {})
    assert Node.objects.filter(user__account=account("hugo"), dropped__isnull=False).exists()


@scenario
def admin() -> None:
    from django.contrib import admin

    from tmtp.delivery.models import Broadcast

    account("staff", staff=True)
    browser = Browser("staff")
    ours = [model for model in admin.site._registry if model.__module__.startswith("tmtp.")]
    lists = [reverse(f"admin:{one._meta.app_label}_{one._meta.model_name}_changelist") for one in ours]
    browser.crawl(*lists)
    for model, path in zip(ours, lists, strict=True):
        if admin.site._registry[model].search_fields:
            browser.get(f"{path}?q=ann")
        pks = model._default_manager.using("default").values_list("pk", flat=True)[:1]
        for pk in pks:
            browser.get(f"{path}{admin.utils.quote(pk)}/change/")
    new = reverse("admin:tmtp_delivery_broadcast_add")
    assert "joined_since" not in browser.get(new) or "date_joined" in _account_fields()
    text = browser.post(new, {"subject": "By hand", "body": BODY, "everyone": "on", "_save": "1"})
    one = Broadcast.objects.get(subject="By hand")
    assert one.by == account("staff") or one.by.pk == account("staff").pk
    assert "By hand" in text or "Monday" in text
    review = reverse("admin:tmtp_delivery_broadcast_review", one.pk)
    browser.post(review, {"now": "1"})
    text = browser.get(reverse("admin:tmtp_delivery_broadcast_change", one.pk))
    one.refresh_from_db()
    assert one.state == Broadcast.State.RUNNING
    Broadcast.objects.filter(pk=one.pk).update(sent=FIRST_ID, total=FIRST_ID, chosen=one.started)
    text = browser.get(reverse("admin:tmtp_delivery_broadcast_change", one.pk))
    assert f'value="{FIRST_ID}" max="{FIRST_ID}"' in text
    later = Broadcast.objects.create(subject="Later", body=BODY, everyone=True)
    at = {"later": "1", "send_at": "2199-12-31T10:30"}
    browser.post(reverse("admin:tmtp_delivery_broadcast_review", later.pk), at)
    later.refresh_from_db()
    assert later.state == Broadcast.State.SCHEDULED, later.state
    assert later.send_at.year == 2199


def _account_fields() -> set[str]:
    from django.contrib.auth import get_user_model

    return {field.name for field in get_user_model()._meta.get_fields()}


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
def leases_and_sweeping() -> None:
    from django.db.models.functions import Now
    from django.utils import timezone

    from tmtp.delivery import stalled_devices
    from tmtp.delivery.models import StalledDevice
    from tmtp.models import Node, ServerLease
    from tmtp.services.messages import sweeping
    from tmtp.services.queue import leases
    from tmtp.services.storage import sql
    from tmtp.services.storage.dialect import is_pooled

    lease = leases.take("127.0.0.1:1")
    assert not leases.renew([lease.pk], 1)
    node = device("ann")
    assert leases.is_alive(lease.pk) or is_pooled()  # without locks, nobody else knows that it is
    assert sql.claim_node(node.pk, None, lease.pk, timezone.now())
    assert abs(Node.objects.get(pk=node.pk).last_seen - timezone.now()) < timedelta(minutes=1)
    assert stalled_devices.redeliver() == 0
    StalledDevice.objects.update(next_try=timezone.now() - timedelta(seconds=1))
    assert stalled_devices.redeliver() == StalledDevice.objects.count()
    assert leases.end_dead() == 0
    ServerLease.objects.filter(pk=lease.pk).update(seen=Now() - timedelta(minutes=2))
    assert not leases.is_alive(lease.pk)
    sweeping.apply(sweeping.Sweeper().look())
    leases.release(lease.pk)


@scenario
def the_broadcast_command() -> None:
    from django.core.management import call_command

    Path("body.txt").write_text("Hello, all – “dear” members", encoding="utf-8")
    out = io.StringIO()
    call_command("broadcast", subject="By command", body_file="body.txt", all=True, stdout=out)
    assert "By command" in out.getvalue()
