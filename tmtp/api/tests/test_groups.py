"""Create groups through the API, set their rules, and choose their members."""

from __future__ import annotations

import pytest

from tmtp.messaging import create_group
from tmtp.models import Group, Member
from tmtp.tests.people import ops, someone

pytestmark = pytest.mark.django_db


@pytest.fixture
def group(program):
    return program.post("/groups", {"gid": "friends of rome"})[1]


def members(program, group):
    _, answer = program.get(f"/groups/{group['id']}/members")
    return {one["name"]: (one["status"], one["role"]) for one in answer["items"] if "of rome" in one["name"]}


def test_a_group_is_created(program):
    status, group = program.post("/groups", {"gid": "news of rome", "joining": "anyone", "posting": "moderators"})
    assert status == 201
    rules = {"joining": "anyone", "posting": "moderators", "barring": "moderators"}
    assert group == {"id": group["id"], "gid": "news of rome", **rules}
    assert program.get(f"/groups/{group['id']}") == (200, group)
    _, answer = program.get(f"/groups/{group['id']}/members")
    assert [one["role"] for one in answer["items"]] == ["owner"]  # the site


@pytest.mark.parametrize(
    ("new", "status", "code"),
    [
        ({"gid": "friends of rome"}, 409, "name_taken"),
        ({"gid": "friends оf rome"}, 409, "name_taken"),
        ({"gid": "ｆriends of rome"}, 409, "name_taken"),
        ({"gid": "friends  of rome"}, 409, "name_taken"),
        ({"gid": "short"}, 422, "name_too_short"),
        ({"gid": "bell\a ringing"}, 422, "name_not_printable"),
        ({"gid": "a nul\0 in it"}, 422, "name_not_printable"),
        ({"gid": "news of rome", "joining": "x"}, 422, "request_invalid"),
        ({"gid": "news of rome", "joining": None}, 422, "request_invalid"),
        ({"gid": "news of rome", "joining": "anyone", "barring": "members"}, 422, "open_group_barring"),
        ({}, 422, "request_invalid"),
    ],
)
def test_a_group_that_cannot_be(program, group, new, status, code):
    assert (program.post("/groups", new)[0], program.post("/groups", new)[1]["code"]) == (status, code)
    assert Group.objects.count() == 1


def test_names_in_another_case_are_other_names_as_everywhere(program, group):
    """Decision 7: names are case-sensitive, since existing clients depend on it."""
    assert program.post("/groups", {"gid": "Friends of Rome"})[0] == 201


def test_rules(program, group):
    status, changed = program.call("PATCH", f"/groups/{group['id']}", {"posting": "moderators"})
    assert (status, changed) == (200, {**group, "posting": "moderators"})
    assert program.call("PATCH", f"/groups/{group['id']}", {}) == (200, changed)


@pytest.mark.once
def test_members_are_added_removed_and_barred(program, group):
    ann, _ = someone("ann of rome"), someone("bob of rome")
    path = f"/groups/{group['id']}/members"
    both = {"people": {"names": ["ann of rome", "bob of rome"]}}
    status, answer = program.post(path, both)
    assert (status, len(answer["uids"])) == (200, 2)
    assert members(program, group) == {"ann of rome": ("joined", "member"), "bob of rome": ("joined", "member")}
    assert "member" in ops(ann)
    assert program.post(path, both)[0] == 200  # again: nothing changes
    assert program.post(f"{path}/remove", {"people": {"names": ["ann of rome"]}})[0] == 200
    assert program.post(f"{path}/remove", {"people": {"names": ["bob of rome"]}, "bar": True})[0] == 200
    assert members(program, group) == {"ann of rome": ("invited", "member"), "bob of rome": ("barred", "member")}
    assert program.post(path, both)[0] == 200  # the site lets them in again
    assert {status for status, _ in members(program, group).values()} == {"joined"}


def test_roles(program, group):
    someone("ann of rome")
    path = f"/groups/{group['id']}/members"
    ann = {"people": {"names": ["ann of rome"]}}
    assert program.post(f"{path}/role", {**ann, "role": "moderator"})[1]["code"] == "alias_not_member"
    program.post(path, ann)
    assert program.post(f"{path}/role", {**ann, "role": "owner"})[0] == 200
    assert members(program, group) == {"ann of rome": ("joined", "owner")}
    assert program.post(f"{path}/role", {**ann, "role": "member"})[1]["code"] == "owner_stays"


def test_all_or_nobody(program, group):
    someone("ann of rome"), someone()  # who has no name
    nameless = someone()
    status, answer = program.post(
        f"/groups/{group['id']}/members", {"people": {"names": ["ann of rome"], "uids": [nameless.uid]}}
    )
    assert (status, answer["code"]) == (422, "alias_needed")
    assert members(program, group) == {}


def test_members_come_in_pages(program, group):
    names = [f"member {number}" for number in range(5)]
    for name in names:
        someone(name)
    program.post(f"/groups/{group['id']}/members", {"people": {"names": names}})
    found, after = [], ""
    while after is not None:
        _, answer = program.get(f"/groups/{group['id']}/members?limit=2&after={after or 0}")
        found += [one["name"] for one in answer["items"]]
        after = answer["next"]
    assert found[1:] == names


def test_groups_of_others_are_not_there(program, other, group):
    someone("ann of rome")
    create_group("group of the site")
    people = {"people": {"names": ["ann of rome"]}}
    for pk in Group.objects.values_list("pk", flat=True):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"posting": "moderators"}),
            ("GET", "/members", None),
            ("POST", "/members", people),
            ("POST", "/members/remove", people),
            ("POST", "/members/role", {**people, "role": "owner"}),
        ):
            status, answer = other.call(method, f"/groups/{pk}{path}", body)
            assert (status, answer["code"]) == (404, "not_found")
    assert other.get("/groups")[1]["items"] == []
    message = {"to": {"groups": ["friends of rome"]}, "subject": "Hello", "text": ""}
    assert other.post("/messages", message)[1]["code"] == "group_not_found"
    assert not Member.objects.filter(user__is_site=False).exists()
    assert [one["gid"] for one in program.get("/groups")[1]["items"]] == ["friends of rome"]
