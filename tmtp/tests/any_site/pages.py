"""Scenarios of pages: the mailbox, the members' pages and the admin."""

from __future__ import annotations

import re

from .browser import Browser, reverse
from .people import account, device, waiting
from .scenarios import BODY, FIRST_ID, scenario


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
        connected, _ = await socket.connect(timeout=60)
        assert connected
        news: str = await socket.receive_from(timeout=60)
        await socket.disconnect(timeout=60)
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
    browser.post(review, {"now": "1", "confirmed": "yes"})
    text = browser.get(reverse("admin:tmtp_delivery_broadcast_change", one.pk))
    one.refresh_from_db()
    assert one.state == Broadcast.State.RUNNING
    Broadcast.objects.filter(pk=one.pk).update(sent=FIRST_ID, total=FIRST_ID, chosen=one.started)
    text = browser.get(reverse("admin:tmtp_delivery_broadcast_change", one.pk))
    assert f'value="{FIRST_ID}" max="{FIRST_ID}"' in text
    later = Broadcast.objects.create(subject="Later", body=BODY, everyone=True)
    at = {"later": "1", "confirmed": "yes", "send_at": "2199-12-31T10:30"}
    browser.post(reverse("admin:tmtp_delivery_broadcast_review", later.pk), at)
    later.refresh_from_db()
    assert later.state == Broadcast.State.SCHEDULED, later.state
    assert later.send_at.year == 2199


def _account_fields() -> set[str]:
    from django.contrib.auth import get_user_model

    return {field.name for field in get_user_model()._meta.get_fields()}
