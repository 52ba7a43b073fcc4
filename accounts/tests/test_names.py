"""A new member can be written to at once, by a name that others find however they type it."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from tmtp.models import Alias, User

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def sign_up(client, username, **more):
    given = {"username": username, "email": f"{username}@example.org", "password1": PASSWORD}
    return client.post(reverse("accounts:sign_up"), given | more)


def names_of(username):
    return list(Alias.objects.filter(user__account__username=username).values_list("name", flat=True))


@pytest.mark.parametrize(
    ("username", "given", "name"),
    [
        ("carl.weber", "", "carl.weber"),
        ("carl.weber", "Carl the Great", "Carl the Great"),
        ("carl", "", "carl of mnm"),
    ],
)
def test_sign_up_gives_a_name(client, settings, username, given, name):
    settings.TMTP = settings.TMTP | {"SITE_NAME": "mnm"}
    assert sign_up(client, username, name=given).status_code == 302
    assert names_of(username) == [name]


@pytest.mark.parametrize(("name", "why"), [("short", "at least 8 characters"), ("Carl the Great", "already taken")])
def test_a_name_that_is_refused_leaves_nobody_behind(client, name, why):
    sign_up(client, "carl.weber", name="Carl the Great")
    client.logout()
    assert why in sign_up(client, "carl.maria", name=name).text
    assert not get_user_model().objects.filter(username="carl.maria").exists()
    assert User.objects.exclude(account=None).count() == 1


def test_a_username_that_looks_like_a_taken_name_is_no_name(client):
    sign_up(client, "carl.weber")
    client.logout()
    sign_up(client, "carla.weber", name="саrl.weber of rome")  # the first two letters are Cyrillic
    client.logout()
    sign_up(client, "carl.weber2", name="")
    assert names_of("carl.weber2") == ["carl.weber2"]
    assert names_of("carla.weber")


@pytest.mark.parametrize("typed", ["CARL.Weber", "carl.weber ", "ｃａｒｌ．ｗｅｂｅｒ"])
def test_names_are_found_in_any_case_and_form(client, typed):
    sign_up(client, "carl.weber")
    client.logout()
    sign_up(client, "ann.of.rome")
    given = {"to": typed, "subject": "Hello", "text": "Carl", "once": "1"}
    assert client.post(reverse("tmtp_mailbox:compose"), given).status_code == 302


def test_names_that_are_similar_are_offered(client):
    sign_up(client, "carl.weber")
    client.logout()
    sign_up(client, "ann.of.rome")
    page = client.post(reverse("tmtp_mailbox:ping"), {"to": "Carl Wébér", "text": "Hello"})
    assert "No member is named “Carl Wébér”. Did you mean “carl.weber”?" in page.text
    assert "Did you mean" not in client.post(reverse("tmtp_mailbox:ping"), {"to": "carl", "text": "Hello"}).text


def test_the_web_client_makes_a_device_of_the_member(client):
    sign_up(client, "carl.weber")
    user = User.objects.get(account__username="carl.weber")
    page = client.get("/live/")
    assert 'id="register" hidden' in page.text
    page = client.post("/live/", {"label": "Browser"})
    assert page.headers["Cache-Control"].count("no-store")
    assert user.uid in page.text
    (device,) = user.nodes.filter(kind=1, dropped=None)
    assert device.label == "Browser"
    assert User.objects.exclude(account=None).count() == 1
