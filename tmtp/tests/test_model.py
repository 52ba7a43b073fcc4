"""The services against a small model: users, devices, groups with roles and rules, blocks, messages, acks, recall.

Whatever happens in whatever order, each message is queued exactly once for each node that the model says, nothing else
is queued, and what is refused changes nothing. `--hypothesis-profile thorough` runs many more and longer histories.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

import hypothesis
import pytest
from django.db import transaction
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tmtp import models
from tmtp.messaging import block, recall, send_message, unblock
from tmtp.models import Message, QueueEntry
from tmtp.protocol.requests import Recipient
from tmtp.protocol.values import format_msgid, parse_msgid
from tmtp.services.errors import Refused
from tmtp.services.groups import groups, roles
from tmtp.services.messages.posting import ping, post_whole
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import leases, queue

from .model import FIRST, Device, Expected, Group, Model, Outcome, User

# `pytest --database=postgresql` runs it there: it takes many statements, so `make test` does not.
pytestmark = [pytest.mark.django_db, pytest.mark.once]

NAMES = ["ann of rome", "bob of carthage", "cleo of egypt", "dido, queen", "the senators", "the plebeians", "ευφραίνω"]
NOBODY = "%" * 32
names = st.sampled_from(NAMES)
picks = st.integers(0, 10**4)  # which of what there is; see `pick`
kinds = st.sampled_from([1, 1, 2, 3])


class Services(RuleBasedStateMachine):
    """Anything may happen at any time. After each action, the queues are compared with the model's."""

    @initialize()
    def begin(self) -> None:
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.model = Model()
        self.sent: dict[int, Expected] = {}  # all messages, by number
        self.of_site: list[int] = []
        self.last_posts: list[tuple[Post, int]] = []
        self.bodies = 0
        self.lease = leases.take("127.0.0.1:1").pk
        for name in NAMES[:3]:
            self.register(name)
        for who in (1, 2):
            self.invite(0, 0, 0, who)
            self.join(who, 0, None)

    def teardown(self) -> None:
        if hasattr(self, "transaction"):
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    # helpers

    @property
    def devices(self) -> list[Device]:
        return [device for user in self.model.users for device in user.devices]

    def pick(self, some: Collection[str], number: int) -> str:
        """Return one of these names. Now and then, return any name."""
        among = list(some)
        return NAMES[number % len(NAMES)] if number % 8 == 7 or not among else among[number % len(among)]

    def gid(self, number: int) -> str:
        return self.pick(self.model.groups or NAMES[4:5], number)

    def own_alias(self, user: User, number: int) -> str:
        return self.pick(user.aliases, number)

    def alias(self, number: int) -> str:
        return self.pick([alias for user in self.model.users for alias in user.aliases], number)

    def user(self, pick: int) -> User:
        return self.model.users[pick % len(self.model.users)]

    def sender(self, pick: int) -> tuple[Device, Sender]:
        device = self.devices[pick % len(self.devices)]
        return device, Sender(device.user.uid, device.user.number, device.number)

    def body(self) -> bytes:
        self.bodies += 1
        return b"message %d" % self.bodies

    def attempt(self, outcome: Outcome, action: Callable[[], Any]) -> Any:
        """Do what the model has done already, and compare. Return the result, or None if it is refused."""
        try:
            with transaction.atomic():
                result = action()
        except Refused as refused:
            assert isinstance(outcome, set) and refused.code in outcome, (outcome, refused.code)
            self.compare([])
            return None
        assert isinstance(outcome, list), outcome
        self.compare(outcome)
        return result

    def compare(self, expected: list[Expected]) -> None:
        """Compare all queues with the model's, to which these messages are added."""
        found = set(QueueEntry.objects.values_list("node_id", "rank", "message_id"))
        new = sorted({number for _, _, number in found} - self.sent.keys())
        to_come = [message for message in expected if message.nodes]
        assert len(new) == len(to_come), (new, to_come)
        for number, message in zip(new, to_come, strict=True):
            self.sent[number] = message
            for node in message.nodes:
                node.waiting[number] = message.rank
            self.check_message(number, message)
        nodes = [node for user in self.model.users for node in user.nodes]
        assert found == {(node.number, rank, at) for node in nodes for at, rank in node.waiting.items()}
        assert set(Message.objects.values_list("pk", flat=True)) == {number for _, _, number in found}

    def check_message(self, number: int, message: Expected) -> None:
        node = message.nodes[0].number
        (parcel,) = queue.read_messages([number], {node})
        end = 4 + int(parcel.frame[:4], 16)
        header = json.loads(parcel.frame[4:end])
        assert header["op"] == message.op and header["id"] == format_msgid(number)
        assert {key: header.get(key) for key in message.members} == message.members
        if message.body:
            assert parcel.frame[end:] == message.body

    # users and devices

    @precondition(lambda self: len(self.model.users) < 6)
    @rule(name=names)
    def register(self, name: str) -> None:
        registered = users.register("laptop", name)
        user = User(registered.sender.uid, registered.sender.user)
        assert registered.sender.node
        user.nodes.append(Device(user, registered.sender.node))
        self.model.users.append(user)
        assert (registered.alias_error is None) == (name not in self.model.taken)
        if name not in self.model.taken:
            self.model.take(user, name)
        self.compare([])

    @rule(who=picks, name=names)
    def add_alias(self, who: int, name: str) -> None:
        device, sender = self.sender(who)
        self.attempt(self.model.add_alias(device.user, name), lambda: users.add_alias(sender, name))

    @rule(who=picks, which=picks)
    def drop_alias(self, who: int, which: int) -> None:
        user = self.user(who)
        if user.aliases:
            name = user.aliases.pop(which % len(user.aliases))
            users.drop_alias(models.Alias.objects.get(name=name))
            self.compare([])

    @precondition(lambda self: len(self.devices) < 9)
    @rule(who=picks)
    def add_node(self, who: int) -> None:
        """Add a device. Its queue begins as a copy of the sender's. Log it in with the secret that is sent."""
        device, sender = self.sender(who)
        number = devices.add_node(sender, "phone")
        (parcel,) = queue.read_messages([number], {device.number})
        nodeid = json.loads(parcel.frame[4 : 4 + int(parcel.frame[:4], 16)])["nodeid"]
        node = models.Node.objects.get(secret=devices.hash_nodeid(nodeid))
        device.user.nodes.append(Device(device.user, node.pk, waiting=dict(device.waiting)))
        told = Expected("user", device.user.devices, {"newnode": "phone", "nodeid": nodeid}, rank=FIRST)
        self.compare([told])
        users.log_in(device.user.uid, nodeid, self.lease)
        users.disconnect(node.pk, self.lease)
        self.compare([Expected("login", device.user.devices, {"from": device.user.uid})])
        with pytest.raises(users.LoginFailed):
            users.log_in(self.user(self.model.users.index(device.user) + 1).uid, nodeid, self.lease)

    @precondition(lambda self: len(self.devices) > 3)
    @rule(who=picks)
    def drop_node(self, who: int) -> None:
        device, _ = self.sender(who)
        user = device.user
        user.nodes.remove(device)
        devices.drop_node(models.Node.objects.get(pk=device.number))
        if not user.nodes:
            held = models.Node.objects.get(user=user.number, dropped=None)
            user.nodes.append(Device(user, held.pk, holds=True, waiting=dict(device.waiting)))
        self.compare([])

    @rule(who=picks, whom=picks, undo=st.booleans())
    def block(self, who: int, whom: int, undo: bool) -> None:
        user, other = self.user(who), self.user(whom)
        rows = models.User.objects.in_bulk([user.number, other.number])
        if undo:
            user.blocked.discard(other)
            unblock(rows[user.number], rows[other.number])
        elif user is not other:
            user.blocked.add(other)
            block(rows[user.number], rows[other.number])

    # groups

    @rule(who=picks, which=picks, alias=picks, to=picks)
    def invite(self, who: int, which: int, alias: int, to: int) -> None:
        device, sender = self.sender(who)
        names = self.gid(which), self.own_alias(device.user, alias), self.alias(to)
        self.attempt(self.model.invite(device, *names), lambda: groups.invite(sender, *names, b"come"))

    @rule(who=picks, which=picks, alias=st.none() | picks)
    def join(self, who: int, which: int, alias: int | None) -> None:
        device, sender = self.sender(who)
        names = self.gid(which), "" if alias is None else self.own_alias(device.user, alias)
        self.attempt(self.model.join(device, *names), lambda: groups.join(sender, *names))

    @rule(who=picks, which=picks, alias=picks)
    def rename(self, who: int, which: int, alias: int) -> None:
        device, sender = self.sender(who)
        names = self.gid(which), self.own_alias(device.user, alias)
        self.attempt(self.model.rename(device, *names), lambda: groups.rename(sender, *names))

    @rule(who=picks, which=picks, alias=picks)
    def drop(self, who: int, which: int, alias: int) -> None:
        device, sender = self.sender(who)
        gid = self.gid(which)
        group = self.model.groups.get(gid)
        name = self.pick([member.alias for member in group.members.values()] if group else (), alias)
        self.attempt(self.model.drop(device, gid, name), lambda: groups.drop(sender, gid, name))

    @precondition(lambda self: self.model.groups)
    @rule(which=picks, who=picks, joining=st.integers(1, 3), posting=st.integers(1, 2), barring=st.integers(1, 2))
    def set_rules(self, which: int, who: int, joining: int, posting: int, barring: int) -> None:
        group, row, by, member = self.moderation(which, who)
        rules = {"joining": joining, "posting": posting, "barring": barring}
        outcome = self.model.set_rules(group, by, **rules)
        self.attempt(outcome, lambda: roles.set_rules(row, **rules, by=member))

    @precondition(lambda self: self.model.groups)
    @rule(which=picks, who=picks, whom=picks, role=st.integers(1, 3))
    def set_role(self, which: int, who: int, whom: int, role: int) -> None:
        group, row, by, member = self.moderation(which, who)
        user = self.user(whom)
        outcome = self.model.set_role(group, by, user, role)
        self.attempt(outcome, lambda: roles.set_role(row, models.User.objects.get(pk=user.number), role, by=member))

    def moderation(self, which: int, who: int) -> tuple[Group, models.Group, User | None, models.Member | None]:
        """Return a group, and a user who is in it, or None for the site."""
        group = list(self.model.groups.values())[which % len(self.model.groups)]
        by = [None, *group.members][who % (len(group.members) + 1)]
        row = models.Group.objects.get(gid=group.gid)
        return group, row, by, by and models.Member.objects.get(group=row, user=by.number)

    # messages

    @rule(who=picks, alias=picks, to=picks)
    def ping(self, who: int, alias: int, to: int) -> None:
        device, sender = self.sender(who)
        names = self.own_alias(device.user, alias), self.alias(to)
        self.attempt(self.model.ping(device, *names), lambda: ping(sender, *names, b"well?"))

    @rule(
        who=picks,
        to=st.lists(st.tuples(picks, kinds), max_size=3),
        note=st.none() | st.tuples(st.lists(st.tuples(picks, kinds), max_size=2), st.booleans()),
    )
    def post(self, who: int, to: list[tuple[int, int]], note: Any) -> None:
        device, sender = self.sender(who)
        named = self.named(to)
        noted = note and (self.named(note[0]), note[1])
        outcome = self.model.post(device, named, noted)
        body = self.body()
        if isinstance(outcome, list):
            for message in outcome:
                message.body = body if message.op == "delivery" else b"note of " + body
        item = Post(sender, [Recipient(*one) for one in named], body, digest=body * 4)
        if noted:
            recipients = [Recipient(*one) for one in noted[0]]
            item.notification = Notification(recipients, b"note of " + body, not_self=noted[1])
        number = self.attempt(outcome, lambda: post_whole(item))
        if number is not None:
            self.last_posts = [*self.last_posts[-2:], (item, number)]

    def named(self, to: list[tuple[int, int]]) -> list[tuple[str, int]]:
        """Return uids or gids, and the types. Now and then it is one that there is not."""
        found = []
        for pick, kind in to:
            there = [user.uid for user in self.model.users] if kind == 1 else list(self.model.groups)
            nobody = pick % 16 == 15 or not there
            found.append((NOBODY if nobody else there[pick % len(there)], kind))
        return found

    @precondition(lambda self: self.last_posts)
    @rule(which=picks)
    def post_again(self, which: int) -> None:
        """Repeat a request whose ack was lost: it gets the number of the first time, and nothing is sent."""
        item, number = self.last_posts[which % len(self.last_posts)]
        assert post_whole(item) == number
        self.compare([])

    @rule(author=st.none() | picks, to=st.lists(picks, max_size=3), which=st.none() | picks, together=st.booleans())
    def send(self, author: int | None, to: list[int], which: int | None, together: bool) -> None:
        """Send as the site does."""
        user = None if author is None else self.user(author)
        readers = list(dict.fromkeys(self.user(pick) for pick in to))
        group = self.model.groups.get("" if which is None else self.gid(which))
        if not readers and not group:
            return
        outcome = self.model.send(user, readers, [group] if group else [], together)
        named = [reader.uid for reader in readers] + ([group.gid] if group else [])
        sent = self.attempt(
            outcome, lambda: send_message(named, "News", "text", sender=user and user.uid, together=together)
        )
        self.of_site += [parse_msgid(msgid) for msgid in sent or ()]

    @precondition(lambda self: self.of_site)
    @rule(which=picks)
    def recall(self, which: int) -> None:
        number = self.of_site[which % len(self.of_site)]
        nodes = [node for user in self.model.users for node in user.nodes if number in node.waiting]
        for node in nodes:
            del node.waiting[number]
        assert recall(format_msgid(number)).taken_back == len(nodes)
        self.compare([])

    @rule(who=picks, which=picks, amount=st.integers(1, 4))
    def acknowledge(self, who: int, which: int, amount: int) -> None:
        """Acknowledge some of what waits for a device, and again what does not wait for it any more."""
        device, _ = self.sender(who)
        waiting = [*device.waiting.items()]
        chosen = [waiting[(which + n) % len(waiting)] for n in range(amount)] if waiting else []
        for _ in range(2):
            queue.acknowledge([(device.number, rank, number) for number, rank in chosen])
        for number, _ in chosen:
            device.waiting.pop(number, None)
        self.compare([])


def test_the_services_do_what_the_model_says(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": None}
    profile = hypothesis.settings()
    thorough = profile.max_examples > 1000
    run_state_machine_as_test(
        Services,
        settings=hypothesis.settings(
            profile,
            max_examples=profile.max_examples // 4 if thorough else 12,
            stateful_step_count=60 if thorough else 25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Forgetful(Model):
    """A wrong model. The comparison must notice."""

    def post(self, *args: Any) -> Outcome:
        outcome = super().post(*args)
        if isinstance(outcome, list) and len(outcome[0].nodes) > 1:
            outcome[0].nodes.pop()
        return outcome


def test_the_comparison_notices_a_message_too_many(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": None}
    machine = Services()
    machine.begin()
    try:
        machine.model.__class__ = Forgetful
        with pytest.raises(AssertionError):
            machine.post(0, [(1, 1), (2, 1)], None)
    finally:
        machine.teardown()
