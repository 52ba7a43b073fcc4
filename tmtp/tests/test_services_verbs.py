"""Services are atomic for every caller: without a transaction, in a transaction that goes on, and in the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tmtp.models import Alias, Group, Member, Message, Node, User
from tmtp.services.errors import Refused
from tmtp.services.groups import groups, ohi
from tmtp.services.messages import posting
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import queue
from tmtp.services.queue.batch import Batch

from .people import someone, waiting

GID = "club of all"


class Broken(Exception):
    """An unexpected error at the end of a service."""


def counts() -> list[Any]:
    members = list(Member.objects.order_by("pk").values_list("alias", "status"))
    return [members, *(kind.objects.count() for kind in (User, Node, Alias, Group, Message))]


@pytest.fixture
def people() -> tuple[Sender, Sender]:
    """Create Ann, and her group to which Bob is invited."""
    ann, bob = someone("ann of rome"), someone("bob of rome")
    groups.invite(ann, GID, "ann of rome", "bob of rome")
    return ann, bob


Verb = Callable[[Sender, Sender, Batch | None], Any]
VERBS: dict[str, Verb] = {
    "add_alias": lambda ann, bob, batch: users.add_alias(ann, "ann of pisa", batch=batch),
    "add_node": lambda ann, bob, batch: devices.add_node(ann, "phone", batch=batch),
    "ping": lambda ann, bob, batch: posting.ping(ann, "ann of rome", "bob of rome", b"hi", batch=batch),
    "ohi": lambda ann, bob, batch: ohi.edit(ann, [bob.uid], tell="add", batch=batch),
    "invite": lambda ann, bob, batch: groups.invite(ann, "another club", "ann of rome", "bob of rome", batch=batch),
    "join": lambda ann, bob, batch: groups.join(bob, GID, batch=batch),
    "rename": lambda ann, bob, batch: groups.rename(ann, GID, "ann of rome", batch=batch),
    "drop": lambda ann, bob, batch: groups.drop(ann, GID, "bob of rome", batch=batch),
}


def fail(*args: Any, **kwargs: Any) -> None:
    raise Broken


@pytest.mark.django_db(transaction=True)
def test_a_verb_needs_no_transaction_and_is_whole(
    people: tuple[Sender, Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, verb in VERBS.items():
        before = counts()
        with monkeypatch.context() as patch:
            patch.setattr(queue.sql, "add_entries", fail)  # the last write of each service
            with pytest.raises(Broken):
                verb(*people, None)
        assert counts() == before, name
        verb(*people, None)
        assert counts() != before, name
    before = counts()
    monkeypatch.setattr(users, "reserve", fail)
    with pytest.raises(Broken):
        users.register("laptop", "dan of rome")
    assert counts() == before, "register"


@pytest.mark.django_db
def test_a_callers_transaction_goes_on_after_a_refusal() -> None:
    ann = someone("ann of rome")
    someone("bob of rome")
    with transaction.atomic():
        with pytest.raises(Refused, match="not available"):
            groups.invite(ann, "ann of rome", "ann of rome", "bob of rome")  # a gid that is taken as an alias
        assert not Group.objects.exists(), "nothing has changed"
        users.add_alias(ann, "ann of pisa")
    assert Alias.objects.filter(name="ann of pisa").exists()
    assert [header["newalias"] for header in waiting(ann)] == ["ann of pisa"]


@pytest.mark.django_db
def test_the_store_pays_nothing_for_it(people: tuple[Sender, Sender]) -> None:
    with CaptureQueriesContext(connection) as queries:
        users.register("laptop", "cat of rome", batch=Batch())
        groups.join(people[1], GID, batch=Batch())
    assert not [query for query in queries if "SAVEPOINT" in query["sql"]]


@pytest.mark.django_db
@pytest.mark.parametrize("name", VERBS)
def test_the_store_is_given_all_that_a_verb_queues(
    people: tuple[Sender, Sender], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "wake_on_commit", fail)
    before = Message.objects.count()
    batch = Batch()
    VERBS[name](*people, batch)
    assert batch.parcels
    assert len(batch.parcels) == Message.objects.count() - before
