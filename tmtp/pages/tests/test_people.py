"""The pages about aliases, groups, presence and blocks, as a browser sees them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

import tmtp
from tmtp.models import Alias, Block, Group, Member, User
from tmtp.pages.urls import urlpatterns
from tmtp.pages.views import groups as pages
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.people import devices, privacy, users
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import user_of
from tmtp.services.people.site import site_user
from tmtp.tests.people import waiting
from tmtp.web import limits

pytestmark = pytest.mark.django_db
ANN, BOB, GID = "ann of rome", "bob of rome", "friends of rome"


def url(name, *args):
    return reverse(f"tmtp_pages:{name}", args=args)


def member(name, alias):
    """Create a member of the website with an alias and a device, and return them as a sender from it."""
    user = user_of(get_user_model().objects.create_user(name))
    node, _ = devices.make_node(user, "laptop")
    users.add_alias(Sender(user.uid, user.pk), alias)
    return Sender(user.uid, user.pk, node.pk)


@pytest.fixture
def ann(client):
    sender = member("ann", ANN)
    client.force_login(get_user_model().objects.get(username="ann"))
    return sender


@pytest.fixture
def bob():
    return member("bob", BOB)


@pytest.fixture(autouse=True)
def fresh_limits():
    limits.limits.cache_clear()
    yield
    limits.limits.cache_clear()


def waiting_for(sender, op):
    return [message for message in waiting(sender.node) if message["op"] == op]


def shown(client, name, *args):
    answer = client.get(url(name, *args))
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.text)


def post(client, page, /, *args, **form):
    """Submit a form. Return the messages of the page after the redirect, or the errors of the fields."""
    return re.sub(r"\s+", " ", client.post(url(page, *args), form, follow=True).text)


# aliases


def test_without_an_alias_the_page_says_what_to_do(client):
    client.force_login(get_user_model().objects.create_user("cid"))
    assert "You have no name yet" in shown(client, "aliases")


def test_a_new_alias_is_the_member_s_and_their_devices_are_told(client, ann):
    assert "Name “ann the &lt;second&gt;” added" in post(client, "aliases", name="ann the <second>")
    assert [message["newalias"] for message in waiting_for(ann, "user")] == [ANN, "ann the <second>"]
    assert "ann the &lt;second&gt;" in shown(client, "aliases")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("short", "at least 8 characters"),
        (BOB, "is already taken, or looks like"),
        ("b\u043eb of rome", "is already taken, or looks like"),
        (" ann of gaul", "cannot begin or end with a space"),
        ("ann\x07of gaul", "cannot contain invisible characters"),
    ],
)
def test_why_an_alias_is_not_to_be_had_stands_beside_the_field(client, ann, bob, name, why):
    page = post(client, "aliases", name=name)
    assert 'id="id_name_error"' in page
    assert why in page


def test_a_dropped_alias_is_gone_for_good(client, ann):
    alias = Alias.objects.get(name=ANN)
    page = shown(client, "alias_drop", alias.pk)
    assert "stays reserved" in page
    assert "your only name" in page
    post(client, "alias_drop", alias.pk)
    assert ANN not in re.sub('<ul class="messages">.*?</ul>', "", shown(client, "aliases"))
    assert "is already taken" in post(client, "aliases", name=ANN)


def test_the_groups_where_one_goes_by_an_alias_are_named(client, ann):
    groups.create(ann, GID, ANN)
    assert GID in shown(client, "alias_drop", Alias.objects.get(name=ANN).pk)


def test_other_people_s_aliases_are_not_there(client, ann, bob):
    alias = Alias.objects.get(name=BOB)
    assert client.post(url("alias_drop", alias.pk)).status_code == 404
    assert Alias.objects.get(name=BOB).dropped is None


# groups


RULES = {"joining": 1, "posting": 1, "barring": 1}


@pytest.fixture
def group(ann, bob):
    """Create Ann's group, to which Bob is invited."""
    group = groups.create(ann, GID, ANN)
    groups.invite(ann, GID, ANN, BOB)
    return group


def status(sender):
    return Member.objects.get(group__gid=GID, user=sender.user).status


def test_without_a_group_the_page_says_what_to_do(client, ann):
    assert "No groups yet" in shown(client, "groups")


@pytest.mark.once
def test_found_a_group_and_invite_the_first(client, ann, bob):
    page = post(client, "group_new", **RULES, name=GID, alias=ANN, to=BOB, text="Come in")
    assert f"Group “{GID}” created" in page
    assert status(bob) == pages.INVITED
    (invitation,) = waiting_for(bob, "invite")
    assert (invitation["gid"], invitation["alias"], invitation["data"]) == (GID, ANN, b"Come in")
    assert "1 member" in shown(client, "groups")


@pytest.mark.once
def test_the_founder_chooses_the_rules(client, ann, bob):
    rules = {"joining": 2, "posting": 2, "barring": 2}
    post(client, "group_new", name=GID, alias=ANN, to=BOB, **rules)
    group = Group.objects.get(gid=GID)
    assert {name: getattr(group, name) for name in rules} == rules
    assert status(bob) == pages.INVITED  # from the owner, though the group is closed


@pytest.mark.once
@pytest.mark.parametrize(("may_bar", "barring"), [(True, 1), (False, 2)])
def test_the_form_shows_the_rules_that_new_groups_have(client, ann, settings, may_bar, barring):
    settings.TMTP = {**settings.TMTP, "MEMBERS_MAY_BAR": may_bar}
    form = client.get(url("group_new")).context["form"]
    chosen = {name: form[name].value() for name in RULES}
    assert chosen == {"joining": 1, "posting": 1, "barring": barring}


@pytest.mark.once
def test_found_a_group_alone(client, ann):
    post(client, "group_new", **RULES, name=GID, alias=ANN)
    assert status(ann) == pages.JOINED


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "short"}, "name"),
        ({"name": ANN}, "name"),
        ({"to": "nobody at all"}, "to"),
        ({"alias": BOB}, "alias"),
        ({"text": "\U0001f600" * 71}, "text"),
        ({"joining": 3}, "barring"),
        ({"posting": 7}, "posting"),
        ({"joining": ""}, "joining"),
    ],
)
def test_a_group_that_cannot_be_is_not_there(client, ann, bob, given, field):
    page = post(client, "group_new", **{**RULES, "name": GID, "alias": ANN, **given})
    assert f'id="id_{field}_error"' in page
    assert not Group.objects.exists()


def test_a_group_that_is_there_is_not_founded_again(client, ann, bob):
    groups.create(bob, GID, BOB)
    assert "is already taken" in post(client, "group_new", **RULES, name=GID, alias=ANN)
    assert not Member.objects.filter(user=ann.user).exists()


def test_who_has_no_alias_is_sent_for_one(client):
    client.force_login(get_user_model().objects.create_user("cid"))
    assert url("aliases") in shown(client, "group_new")


def test_members_see_each_other_and_who_is_invited(client, ann, bob, group):
    page = shown(client, "group", group.pk)
    assert BOB in page
    assert ">invited<" in page
    there = {member.user_id: url("group_member", group.pk, member.pk) for member in group.members.all()}
    assert there[bob.user] in page
    assert there[ann.user] not in page
    assert url("block", bob.uid) in client.get(there[bob.user]).text


@pytest.mark.once
def test_who_is_invited_sees_no_members_and_can_join(client, ann, bob):
    group = groups.create(bob, GID, BOB)
    groups.invite(bob, GID, BOB, ANN)
    assert "Invitations" in shown(client, "groups")
    page = shown(client, "group", group.pk)
    assert BOB not in page
    users.add_alias(ann, "ann the second")
    post(client, "group_join", group.pk, alias="ann the second")
    assert status(ann) == pages.JOINED
    assert waiting_for(bob, "member")[-1]["alias"] == "ann the second"
    assert BOB in shown(client, "group", group.pk)


@pytest.mark.once
def test_invite(client, ann, bob):
    group = groups.create(ann, GID, ANN)
    assert f"“{BOB}” has been invited" in post(client, "group_invite", group.pk, to=BOB, text="Come")
    assert [message["data"] for message in waiting_for(bob, "invite")] == [b"Come"]
    groups.join(bob, GID)
    assert "is already a member" in post(client, "group_invite", group.pk, to=BOB)
    assert "No member is named" in post(client, "group_invite", group.pk, to="nobody at all")


@pytest.mark.once
def test_who_has_dropped_the_name_they_have_there_invites_by_another(client, ann, bob):
    group = groups.create(ann, GID, ANN)
    users.add_alias(ann, "ann the second")
    users.drop_alias(Alias.objects.get(name=ANN))
    post(client, "group_invite", group.pk, to=BOB)
    assert [message["alias"] for message in waiting_for(bob, "invite")] == ["ann the second"]


def test_another_name_there(client, ann, bob, group):
    users.add_alias(ann, "ann the second")
    post(client, "group_name", group.pk, alias="ann the second")
    assert Member.objects.get(group=group, user=ann.user).alias == "ann the second"
    assert "_alias_error" in post(client, "group_name", group.pk, alias=BOB)
    assert Member.objects.get(group=group, user=ann.user).alias == "ann the second"


def test_leave_and_come_back(client, ann, bob, group):
    groups.join(bob, GID)
    assert "Leave “friends of rome”?" in shown(client, "group_leave", group.pk)
    post(client, "group_leave", group.pk)
    assert status(ann) == pages.INVITED
    assert waiting_for(bob, "member")[-1]["act"] == "drop"
    post(client, "group_join", group.pk, alias=ANN)
    assert status(ann) == pages.JOINED


def test_groups_of_others_are_not_there(client, ann, bob):
    group = groups.create(bob, GID, BOB)
    assert client.get(url("group", group.pk)).status_code == 404
    for name in ("group_join", "group_name", "group_invite", "group_leave"):
        assert client.post(url(name, group.pk), {"alias": ANN, "to": ANN}).status_code == 404


@pytest.mark.once
def test_who_is_invited_cannot_do_what_members_do(client, ann, bob):
    group = groups.create(bob, GID, BOB)
    groups.invite(bob, GID, BOB, ANN)
    for name in ("group_name", "group_invite", "group_leave"):
        assert client.post(url(name, group.pk), {"alias": ANN, "to": ANN}).status_code == 404


def test_large_groups_come_in_pages(client, ann, monkeypatch, django_assert_max_num_queries):
    group = groups.create(ann, GID, ANN)
    others = User.objects.bulk_create(User(uid=f"uid {n}") for n in range(10))
    Member.objects.bulk_create(Member(group=group, user=user, alias=f"other {user.pk}", status=2) for user in others)
    monkeypatch.setattr(pages, "MEMBERS_AT_ONCE", 5)
    with django_assert_max_num_queries(14):
        page = shown(client, "group", group.pk)
    assert "Page 1 of 3" in page
    assert "11 members" in page


def test_many_groups_come_in_pages_invitations_first(client, ann, monkeypatch, django_assert_max_num_queries):
    made = Group.objects.bulk_create(Group(gid=f"group number {n}") for n in range(12))
    statuses = [pages.JOINED] * 5 + [pages.INVITED] * 6 + [Member.Status.BARRED]
    Member.objects.bulk_create(
        Member(group=group, user_id=ann.user, alias=ANN, status=status)
        for group, status in zip(made, statuses, strict=True)
    )
    monkeypatch.setattr(pages, "GROUPS_AT_ONCE", 8)
    with django_assert_max_num_queries(8):
        page = shown(client, "groups")
    assert page.count('<li class="row">') == 8
    assert page.index("Invitations") < page.index("Your groups")
    assert "Page 1 of 2" in page
    assert "group number 11" not in page


# presence


def test_presence_is_kept_and_servers_are_told(client, ann):
    assert 'value="1" checked' in shown(client, "presence").replace(' id="id_presence_0"', "").replace(" required", "")
    post(client, "presence", presence=3)
    assert User.objects.get(pk=ann.user).presence == User.Presence.NOBODY
    assert User.objects.get(pk=ann.user).nodes.get().privacy_changed
    assert "errorlist" in post(client, "presence", presence=4)


# blocks


def test_block_by_alias_and_take_it_back(client, ann, bob):
    assert "No blocked members" in shown(client, "blocked")
    assert f"“{BOB}” has been blocked" in post(client, "blocked", who=BOB)
    with pytest.raises(Refused):
        posting.ping(bob, BOB, ANN, b"hi")
    page = shown(client, "blocked")
    assert BOB in page
    post(client, "unblock", Block.objects.get().pk)
    assert posting.ping(bob, BOB, ANN, b"hi")


def test_others_are_found_however_their_names_are_typed(client, ann):
    zoe = member("zoe", "zoé of rome")
    typed = "zoe\u0301 of rome "
    group = groups.create(ann, GID, ANN)
    assert "“zoé of rome” has been invited" in post(client, "group_invite", group.pk, to=typed)
    post(client, "blocked", who=typed)
    assert Block.objects.get().blocked_id == zoe.user


def test_new_names_are_composed(client, ann):
    """Devices compare names octet by octet, and most keyboards compose characters."""
    post(client, "aliases", name="zoe\u0301 of rome")
    assert Alias.objects.filter(name="zoé of rome", user=ann.user).exists()


def test_block_by_uid(client, ann, bob):
    post(client, "blocked", who=bob.uid)
    assert Block.objects.get().blocked_id == bob.user


@pytest.mark.once
@pytest.mark.parametrize("uid", ["%%%%%%%%%%%%%%%%++++++++++++++++", "123456789BCDFGHJ1234567890+%+%+%"])
def test_block_beside_a_message(client, ann, uid):
    """A uid has characters with a special meaning in URLs."""
    other = User.objects.create(uid=uid)
    page = shown(client, "block", uid)
    assert f"Block “{uid}”?" in page
    assert not Block.objects.exists()
    post(client, "block", uid)
    assert Block.objects.get().blocked_id == other.pk


@pytest.mark.once
def test_who_is_blocked_is_called_what_the_member_calls_them(client, ann, bob):
    """The member may not know the other aliases of a blocked user, and the page must not disclose them."""
    users.add_alias(bob, "bob the spy")
    link = f"{url('block', bob.uid)}?name="
    assert "bob the spy" in client.get(link + "bob the spy").text
    assert BOB not in client.get(link + "bob the spy").text
    assert "somebody else" not in client.get(link + "somebody else").text
    client.post(link + "bob the spy")
    page = shown(client, "blocked")
    assert "bob the spy" in page
    assert BOB not in page
    post(client, "unblock", Block.objects.get().pk)
    post(client, "block", bob.uid)
    assert bob.uid in shown(client, "blocked")
    assert "bob" not in shown(client, "blocked")


@pytest.mark.once
def test_who_cannot_be_blocked(client, ann):
    assert "cannot block yourself" in post(client, "blocked", who=ANN)
    assert "No member is named" in post(client, "blocked", who="nobody at all")
    assert "cannot be blocked" in post(client, "block", site_user().uid)
    assert client.get(url("block", "nobody")).status_code == 404
    assert not Block.objects.exists()


def test_nul_in_an_address_is_ignored_or_is_not_found(client, ann, bob):
    """PostgreSQL has no such character in a text."""
    for page in ("block", "report_member"):
        assert "bob of rome" in client.get(url(page, bob.uid), {"name": "bob of\0 rome"}).text
        assert client.get(url(page, "\0")).status_code == 404
    assert client.get(url("groups_open"), {"q": "\0"}).status_code == 200


def test_nobody_takes_back_the_block_of_another(client, ann, bob):
    privacy.block(User.objects.get(pk=bob.user), User.objects.get(pk=ann.user))
    assert client.post(url("unblock", Block.objects.get().pk)).status_code == 404
    assert "No blocked members" in shown(client, "blocked")


@pytest.mark.once
def test_the_number_of_queries_does_not_grow_with_the_blocks(client, ann, django_assert_max_num_queries):
    me = User.objects.get(pk=ann.user)
    for user in User.objects.bulk_create(User(uid=f"uid {n}") for n in range(10)):
        privacy.block(me, user)
    with django_assert_max_num_queries(9):
        assert "uid 9" in shown(client, "blocked")


# the texts of refusals


def test_members_ask_for_no_more_than_devices_may(client, ann, bob, settings):
    settings.TMTP = {**settings.TMTP, "LIMITS": {"requests_per_user": 1}}
    post(client, "aliases", name="ann the second")
    assert "Too many requests" in post(client, "aliases", name="ann the third")
    assert "Too many requests" in post(client, "block", bob.uid)
    assert not Block.objects.exists()


def test_pages_are_for_members(client):
    for name in ("aliases", "groups", "group_new", "presence", "blocked"):
        assert client.get(url(name)).status_code == 302


def test_each_page_of_the_guide_is_there_under_its_name():
    guide = (Path(tmtp.__file__).parents[1] / "docs" / "how-to" / "members-pages.md").read_text()
    named = set(re.findall(r"`tmtp_pages:(\w+)`", guide))
    there = {pattern.name for pattern in urlpatterns}
    assert len(named) > 8
    assert named <= there
