"""Verbs are whole for whoever calls them: without a transaction, in one that goes on, and in the store."""

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
from tmtp.services.people import users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import queue

from .people import someone, waiting

GID = "club of all"


class Broken(Exception):
    """Something unforeseen, at the end of a verb."""


def counts() -> list[Any]:
    members = list(Member.objects.order_by("pk").values_list("alias", "status"))
    return [members, *(kind.objects.count() for kind in (User, Node, Alias, Group, Message))]


@pytest.fixture
def people() -> tuple[Sender, Sender]:
    """Ann, in a group that Bob is invited to."""
    ann, bob = someone("ann of rome"), someone("bob of rome")
    groups.invite(ann, GID, "ann of rome", "bob of rome")
    return ann, bob


VERBS: dict[str, Callable[[Sender, Sender], Any]] = {
    "add_alias": lambda ann, bob: users.add_alias(ann, "ann of pisa"),
    "add_node": lambda ann, bob: users.add_node(ann, "phone"),
    "ping": lambda ann, bob: posting.ping(ann, "ann of rome", "bob of rome", b"hi"),
    "ohi": lambda ann, bob: ohi.edit(ann, [bob.uid], tell="add"),
    "invite": lambda ann, bob: groups.invite(ann, "another club", "ann of rome", "bob of rome"),
    "join": lambda ann, bob: groups.join(bob, GID),
    "rename": lambda ann, bob: groups.rename(ann, GID, "ann of rome"),
    "drop": lambda ann, bob: groups.drop(ann, GID, "bob of rome"),
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
            patch.setattr(queue.sql, "add_entries", fail)  # the last write of each
            with pytest.raises(Broken):
                verb(*people)
        assert counts() == before, name
        verb(*people)
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
            groups.invite(ann, "ann of rome", "ann of rome", "bob of rome")  # a gid that is an alias
        assert not Group.objects.exists(), "nothing has changed"
        users.add_alias(ann, "ann of pisa")
    assert Alias.objects.filter(name="ann of pisa").exists()
    assert [header["newalias"] for header in waiting(ann)] == ["ann of pisa"]


@pytest.mark.django_db
def test_the_store_pays_nothing_for_it(people: tuple[Sender, Sender]) -> None:
    with queue.collecting(), CaptureQueriesContext(connection) as queries:
        users.register("laptop", "cat of rome")
        groups.join(people[1], GID)
    assert not [query for query in queries if "SAVEPOINT" in query["sql"]]
