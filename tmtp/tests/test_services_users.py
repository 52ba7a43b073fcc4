"""Users, aliases and nodes: names stay reserved, secrets stay secret, and a node is connected once."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tmtp.models import Alias, Message, Node, ServerLease, User
from tmtp.protocol.values import decode_base32
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.people import devices, identities, users
from tmtp.services.people.actors import Sender
from tmtp.services.people.lookalikes import forms, skeleton
from tmtp.services.people.names import holder, similar, typed
from tmtp.services.queue import leases
from tmtp.services.storage.sql import nodes as node_statements

from .people import forget, ops, own, someone, to, waiting

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def shown(sub: str = "ann", token: bytes = b"1") -> identities.IdentityShown:
    return identities.IdentityShown("https://id.example", sub, token, timezone.now() + DAY)


# op 1


def test_registering_makes_a_user_with_a_node_and_an_alias() -> None:
    new = users.register("laptop", "ann of rome")
    assert new.alias_error is None
    assert (len(new.sender.uid), len(new.nodeid)) == (32, 40)
    assert len(decode_base32(new.sender.uid)) == 20
    holds = holder("ann of rome")
    assert holds is not None
    assert holds.pk == new.sender.user
    assert Node.objects.get(pk=new.sender.node).label == "laptop"
    assert waiting(new.sender) == []


@pytest.mark.parametrize("none", ["", "_"])
def test_an_account_may_have_no_alias(none: str) -> None:
    assert users.register("laptop", none).alias_error is None
    assert not Alias.objects.exists()


def test_the_account_exists_although_its_alias_was_refused() -> None:
    someone("ann of rome")
    new = users.register("laptop", "ann of rome")
    assert new.alias_error == "newalias ann of rome is not available"
    assert users.register("laptop", "short").alias_error == "newalias must be 8+ characters"
    assert User.objects.filter(uid=new.sender.uid).exists()


def test_the_same_identity_is_the_same_user() -> None:
    first = users.register("laptop", shown=shown(token=b"1"))
    second = users.register("phone", shown=shown(token=b"2"))
    other = users.register("laptop", shown=shown("bob", token=b"3"))
    assert second.sender.uid == first.sender.uid != other.sender.uid
    assert second.sender.node != first.sender.node


def test_an_id_token_is_good_once() -> None:
    users.register("laptop", shown=shown())
    with pytest.raises(identities.AuthenticationRequired):
        users.register("laptop", shown=shown())


# aliases


@pytest.mark.parametrize("name", ["漢" * 30, "Ünïcödé", "אבגדהו", "😀😀", "x" * 255, "O'Neill; DROP--"])
def test_aliases_in_any_script(name: str) -> None:
    assert users.register("laptop", name).alias_error is None
    holds = holder(name)
    assert holds is not None


def test_case_matters_in_an_alias() -> None:
    ann, other = someone("Ann of Rome"), someone("ann of rome")
    assert (holder("Ann of Rome").pk, holder("ann of rome").pk) == (ann.user, other.user)  # type: ignore[union-attr]
    assert holder("ANN OF ROME") is None


@pytest.mark.parametrize(
    ("taken", "alike"),
    [
        ("ann of rome", "\u0430nn of rome"),  # Cyrillic а
        ("\u0430nn of rome", "ann of rome"),
        ("scope of rome", "ѕсоре of rome"),
        ("ann of rome", "ann  of rome"),
        ("ann of rome", "\uff41nn of rome"),  # full width
        ("josé of rome", unicodedata.normalize("NFD", "josé of rome")),
        (unicodedata.normalize("NFD", "josé of rome"), "josé of rome"),
        ("ann of rome", "ann \u03bff rome"),  # Greek omicron
        ("ann \u043ff rome \u043e", "ann \u043ff rome \u03bf"),  # two others for o
    ],
)
def test_two_aliases_do_not_look_the_same(taken: str, alike: str) -> None:
    assert taken != alike
    someone(taken)
    sender = someone()
    with pytest.raises(Refused, match="is not available"):
        users.add_alias(sender, alike)
    assert waiting(sender) == []


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "name", ["josé of rome", "ガラスの城の人", "세계의 사람들", "Ｊｏｓé 12", "ann  of rome", "می\u200cخواهم"]
)
def test_a_name_that_people_type_is_the_registered_one(name: str, form: str) -> None:
    registered = unicodedata.normalize(form, name)
    someone(registered)
    ways = [unicodedata.normalize(way, registered) for way in ("NFC", "NFD", "NFKC", "NFKD")]
    for way in (
        *ways,
        f" {registered} ",
        registered.replace(" ", "\u3000"),
        f"{registered[:3]}\u200b{registered[3:]}",
    ):
        assert typed(way) == registered, ascii(way)
        assert way == registered or holder(way) is None  # the protocol compares octets


def test_what_people_type_does_not_find_other_names() -> None:
    someone("ann of rome")
    for other in (
        "\u0430nn of rome",
        "ann of rom",
        "",
        "nobody at all",
    ):  # the first with a Cyrillic a
        assert typed(other) == other
    uid = someone().uid
    assert typed(f" {uid.lower()}") == uid


def test_what_people_type_finds_a_name_in_any_case_if_it_is_the_only_one() -> None:
    someone("Straße of Rome")
    assert {typed(one) for one in ("STRASSE OF ROME", "straße of rome")} == {"Straße of Rome"}
    someone("straße OF rome")
    assert typed("STRASSE OF ROME") == "STRASSE OF ROME"
    assert similar("STRASSE OF ROME") == ["Straße of Rome", "straße OF rome"]
    assert typed("straße OF rome") == "straße OF rome"


def test_what_differs_for_the_eye_is_not_alike() -> None:
    names = ["ann of rome", "ann of Rome", "ann of rom3", "anna of rome", "bob of rome", "аня из рима", "ann 0f rome"]
    assert len({skeleton(name) for name in names}) == len(names)


def test_a_dropped_alias_reaches_nobody_and_stays_reserved() -> None:
    ann = someone("ann of rome")
    users.drop_alias(Alias.objects.get(name="ann of rome"))
    assert holder("ann of rome") is None
    for person in (ann, someone()):
        with pytest.raises(Refused, match="not available"):
            users.add_alias(person, "ann of rome")


def test_own_nodes_are_told_of_an_alias_again_when_it_is_theirs_already() -> None:
    ann = someone(nodes=2)
    for _ in range(2):
        users.add_alias(ann, "ann of rome")
    for node in own(ann):
        assert [(header["op"], header["newalias"]) for header in waiting(node)] == [("user", "ann of rome")] * 2
    assert Alias.objects.count() == 1


# nodes


def test_a_new_node_starts_with_a_copy_of_the_queue() -> None:
    ann, bob = someone(nodes=2), someone()
    post([Post(bob, to(ann), b"to both"), Post(bob, to(ann), b"to both, too")])
    forget(own(ann)[1])
    devices.add_node(ann, "tablet")
    old, empty, new = own(ann)
    assert ops(old) == ops(new) == ["user", "delivery", "delivery"]
    assert ops(empty) == ["user"]
    header = waiting(new)[0]
    assert (header["newnode"], len(header["nodeid"])) == ("tablet", 40)
    assert devices.hash_nodeid(header["nodeid"]) == bytes(Node.objects.get(pk=new).secret)


def test_a_waiting_nodeid_cannot_be_read_in_the_database(settings: Any) -> None:
    ann = someone()
    devices.add_node(ann, "tablet")
    nodeid = waiting(ann)[0]["nodeid"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tmtp_message")
        stored = repr([[bytes(x) if isinstance(x, memoryview) else x for x in row] for row in cursor.fetchall()])
    assert Message.objects.count() == 1
    assert nodeid not in stored
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    assert "nodeid" not in waiting(ann)[0]
    settings.SECRET_KEY_FALLBACKS = [old]
    assert waiting(ann)[0]["nodeid"] == nodeid


def test_a_user_has_100_nodes_at_most() -> None:
    ann = someone()
    user = User.objects.get(pk=ann.user)
    for _ in range(99):
        devices.make_node(user, "spare")
    with pytest.raises(Refused, match="100"):
        devices.add_node(ann, "one too many")
    devices.drop_node(Node.objects.filter(user=user, label="spare")[0])
    devices.add_node(ann, "instead")
    assert len(own(ann)) == 100


def test_a_label_is_not_too_long() -> None:
    with pytest.raises(Refused, match="255"):
        devices.add_node(someone(), "x" * 256)
    assert Node.objects.get(pk=users.register("x" * 300).sender.node).label == "x" * 255


def test_a_dropped_node_is_out(lease: int) -> None:
    new = users.register("laptop")
    ann, bob = new.sender, someone()
    devices.add_node(ann, "phone")
    post([Post(bob, to(ann), b"waits")])
    devices.drop_node(Node.objects.get(pk=ann.node))
    assert not waiting(ann)
    post([Post(bob, to(ann), b"for the phone")])
    assert not waiting(ann)
    with pytest.raises(users.LoginFailed):
        users.log_in(ann.uid, new.nodeid, lease)


# op 2


def test_logging_in(lease: int) -> None:
    new = users.register("laptop")
    devices.add_node(new.sender, "phone")
    forget(*own(new.sender))
    assert users.log_in(new.sender.uid, new.nodeid, lease) == new.sender
    for node in own(new.sender):
        (header,) = waiting(node)
        assert (header["op"], header["node"], header["from"]) == ("login", "tbd", new.sender.uid)


def test_who_may_not_log_in(lease: int) -> None:
    ann, bob = users.register("laptop"), users.register("laptop")
    for uid, nodeid in [
        (ann.sender.uid, bob.nodeid),
        ("nobody", ann.nodeid),
        (ann.sender.uid, "%" * 40),
        ("", "%" * 8),
    ]:
        with pytest.raises(users.LoginFailed):
            users.log_in(uid, nodeid, lease)


def test_an_unknown_uid_and_a_wrong_secret_cost_the_same(lease: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = users.register("laptop")
    asked: list[tuple[Any, ...]] = []
    fetch = node_statements.fetch
    monkeypatch.setattr(node_statements, "fetch", lambda *query: asked.append(query) or fetch(*query))
    for uid in (ann.sender.uid, "1" * 32):
        with CaptureQueriesContext(connection) as queries, pytest.raises(users.LoginFailed):
            users.log_in(uid, "1" * 40, lease)
        assert not queries.captured_queries
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_a_node_is_connected_once(lease: int) -> None:
    new = users.register("laptop")
    users.log_in(new.sender.uid, new.nodeid, lease)
    elsewhere = ServerLease.objects.create(host="elsewhere", address="", pid=1, seen=timezone.now()).pk
    for server in (lease, elsewhere):
        with pytest.raises(users.NodeConnected):
            users.log_in(new.sender.uid, new.nodeid, server)
    users.disconnect(_node(new.sender), elsewhere)  # from a server to which it is not connected
    with pytest.raises(users.NodeConnected):
        users.log_in(new.sender.uid, new.nodeid, lease)
    users.disconnect(_node(new.sender), lease)
    users.log_in(new.sender.uid, new.nodeid, elsewhere)


def test_a_server_that_is_not_heard_of_loses_its_nodes(lease: int) -> None:
    new = users.register("laptop")
    users.log_in(new.sender.uid, new.nodeid, lease)
    ServerLease.objects.filter(pk=lease).update(seen=timezone.now() - 2 * leases.LIFETIME)
    other = ServerLease.objects.create(host="elsewhere", address="", pid=1, seen=timezone.now()).pk
    users.log_in(new.sender.uid, new.nodeid, other)
    assert Node.objects.get(pk=new.sender.node).server_id == other


def test_a_lease_that_another_server_has_ended_harms_only_its_own_logins(lease: int) -> None:
    """A constraint would be checked at the commit of the batch, and undo all of it."""
    new = users.register("laptop")
    users.log_in(new.sender.uid, new.nodeid, lease)
    leases.end(ServerLease.objects.get(pk=lease))
    users.log_in(new.sender.uid, new.nodeid, lease)
    users.register("laptop", lease=lease)
    connection.check_constraints()
    users.log_in(new.sender.uid, new.nodeid, leases.take("127.0.0.1:1").pk)


def test_an_identity_must_be_shown_from_time_to_time(lease: int, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "OPENID_MAX_AGE": 3600}
    new = users.register("laptop", shown=shown(token=b"1"))

    def log_in(who: identities.IdentityShown | None = None) -> Sender:
        users.disconnect(_node(new.sender), lease)
        return users.log_in(new.sender.uid, new.nodeid, lease, who, identity_needed=True)

    log_in()
    Node.objects.update(verified=timezone.now() - DAY)
    for who in (None, shown("bob", token=b"2"), shown(token=b"1")):
        with pytest.raises(identities.AuthenticationRequired):
            log_in(who)
    log_in(shown(token=b"3"))
    log_in()


def _node(sender: Sender) -> int:
    assert sender.node is not None
    return sender.node


# names that look like others


@pytest.mark.parametrize(
    "change",
    [
        str,
        str.lower,
        lambda uid: f"{uid[:8]} {uid[8:]}",
        lambda uid: f"{uid[:8]}-{uid[8:]}.",
        lambda uid: f"“{uid}”",
        lambda uid: uid.replace("B", "Β"),
        lambda uid: uid.replace("1", "I"),
        lambda uid: uid.replace("1", "|").replace("Q", "O"),
        lambda uid: uid.replace("B", "🅱").replace("C", "Ⓒ").replace("D", "🇩"),
        lambda uid: uid.replace("B", "ʙ").replace("N", "Ñ"),
    ],
)
def test_a_name_that_looks_like_a_uid_is_refused(change: Callable[[str], str]) -> None:
    bob, mallory = someone("bob the first"), someone("mallory the first")
    with pytest.raises(Refused, match="is not available"):
        users.add_alias(mallory, change(bob.uid))
    with pytest.raises(Refused, match="is not available"):
        groups.create(mallory, change(bob.uid), "mallory the first")


@pytest.mark.parametrize(
    "name",
    [
        "Our Own Place website",
        "our own place website",
        "OUR  OWN  PLACE  WEBSITE",
        "our.own.place-website!",
        "ourownplacewebsite",
        "0ur own p1ace website",
        "оur оwn рlаcе wеbsitе",
        "our own place vvebsite",
        "óur own plàce wébsite",
        "ｏｕｒ ｏｗｎ place website",
        "𝐨𝐮𝐫 own place website",
        "our own place",
        "🅾🆄🆁 🅾🆆🅽 🅿🅻🅰🅲🅴",
        "🇴 🇺 🇷 🇴 🇼 🇳 🇵 🇱 🇦 🇨 🇪",
        "🅞🅤🅡 🅞🅦🅝 🅟🅛🅐🅒🅔",
        "ᴏᴜʀ ᴏᴡɴ ᴘʟᴀᴄᴇ",
        "Our own place™",
        "our own pl@ce web$ite",
        "our own p!ace",
    ],
)
def test_a_name_that_passes_for_the_sites_is_refused_to_members(name: str, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "SITE_NAME": "Our own place", "SITE_ALIAS": ""}
    mallory = someone("mallory the first")
    with pytest.raises(Refused, match="is not available"):
        users.add_alias(mallory, name)
    with pytest.raises(Refused, match="is not available"):
        groups.create(mallory, name, "mallory the first")
    users.add_alias(mallory, "our own place in Rome")


@given(st.text(st.sampled_from("our wnplace-I1l|0О.")))
def test_a_name_has_the_same_form_in_whatever_case_and_spacing(text: str) -> None:
    assert forms(text) == forms(text.swapcase()) == forms(f" {text}. ")
