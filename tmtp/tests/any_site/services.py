"""Scenarios of messages, people and queues, without pages."""

from __future__ import annotations

import io
from datetime import timedelta

from .people import account, device, waiting
from .scenarios import BODY, scenario


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
