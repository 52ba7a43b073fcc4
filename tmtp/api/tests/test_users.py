"""Users of a site that is not written in Django."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model

from tmtp.api.changes import change
from tmtp.models import User
from tmtp.services.people import users
from tmtp.services.people.devices import hash_nodeid
from tmtp.tests.people import someone

pytestmark = pytest.mark.django_db


def test_a_user_is_created_once(program, other):
    status, user = program.post("/users", {"external_id": "customer 17", "name": "ann of rome"})
    assert status == 200
    assert user == {
        "uid": user["uid"],
        "name": "ann of rome",
        "names": ["ann of rome"],
        "external_id": "customer 17",
        "devices": 0,
    }
    assert program.post("/users", {"external_id": "customer 17", "name": "ann of rome"}) == (200, user)
    assert other.post("/users", {"external_id": "customer 17"})[1]["uid"] != user["uid"]
    assert User.objects.filter(is_site=False).count() == 2


def test_a_name_that_is_taken_creates_nobody(program):
    someone("ann of rome")
    for name, code in (
        ("ann of rome", "name_taken"),
        ("short", "name_too_short"),
        ("nul\0 in it", "name_not_printable"),
    ):
        status, answer = program.post("/users", {"external_id": "customer 17", "name": name})
        assert (status in (409, 422), answer["code"]) == (True, code)
    assert program.post("/users", {"external_id": "x\0"})[1]["code"] == "request_malformed"
    assert User.objects.count() == 1


def test_a_device_logs_in_with_its_key(program, settings):
    settings.TMTP = {**settings.TMTP, "PUBLIC_ADDRESS": "messages.example.org:7443"}
    program.post("/users", {"external_id": "customer 17", "name": "ann of rome"})
    someone_waits = {"to": {"external_ids": ["customer 17"]}, "subject": "Welcome", "text": ""}
    program.post("/messages", someone_waits)
    status, key = program.post("/users/devices", {"external_id": "customer 17", "label": "phone"})
    assert (status, key["address"]) == (201, "messages.example.org:7443")
    user = User.objects.get(uid=key["uid"])
    assert user.nodes.filter(secret=hash_nodeid(key["nodeid"])).exists()
    assert users.place_of(key["nodeid"]) is not None
    assert program.get("/users?external_id=customer%2017")[1]["devices"] == 1


@pytest.mark.parametrize("label", ["\0", "nul\0 in it", "\u202e", "🦜" * 255, "<b>", " "])
def test_any_label_gets_an_answer(program, label):
    program.post("/users", {"external_id": "customer 17"})
    assert program.post("/users/devices", {"external_id": "customer 17", "label": label})[0] in (201, 422)


def test_users_are_looked_up(program, other):
    _, ann = program.post("/users", {"external_id": "customer 17", "name": "ann of rome"})
    get_user_model().objects.create(username="bob")
    assert program.get("/users?name=ann%20of%20rome")[1] == ann
    assert other.get("/users?name=ann%20of%20rome")[1] == {**ann, "external_id": None}
    assert other.get("/users?external_id=customer%2017")[0] == 404
    assert program.get("/users?username=bob")[1]["names"] == []
    for query in ("name=Ann", "uid=x", "username=bo", "username=%00", "uid=%F0%9F%A6%9C"):
        assert program.get(f"/users?{query}")[1]["code"] == "not_found", query
    for query in ("", "?name=x&uid=y", "?nothing=1"):
        assert program.get(f"/users{query}")[1]["code"] == "request_malformed"


def test_a_user_is_deleted(program):
    program.post("/users", {"external_id": "customer 17", "name": "ann of rome"})
    assert program.post("/users/delete", {"external_id": "customer 17"}) == (204, None)
    assert program.post("/users/delete", {"external_id": "customer 17"})[0] == 404
    assert not User.objects.filter(is_site=False).exists()


@pytest.mark.parametrize(("path", "more"), [("/users/delete", {}), ("/users/devices", {"label": "mine"})])
def test_a_user_whom_another_request_deletes_at_this_moment(program, monkeypatch, path, more):
    @contextmanager
    def after_the_other(request):
        with change(request):
            User.objects.filter(is_site=False).delete()
            yield

    program.post("/users", {"external_id": "customer 17"})
    monkeypatch.setattr("tmtp.api.routes.users.change", after_the_other)
    status, answer = program.post(path, {"external_id": "customer 17", **more})
    assert (status, answer["code"]) == (404, "not_found")


def test_users_of_others_are_left_alone(program, other):
    program.post("/users", {"external_id": "customer 17"})
    assert other.post("/users/delete", {"external_id": "customer 17"})[0] == 404
    assert other.post("/users/devices", {"external_id": "customer 17", "label": "mine"})[0] == 404
    assert User.objects.filter(is_site=False).count() == 1
