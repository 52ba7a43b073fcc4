"""The list of a member's sessions, and ending them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Browser
from accounts.sessions import description

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PASSWORD = "correct horse battery"
USER = get_user_model()
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15"
)


def url(name, *args):
    return reverse(f"accounts:{name}", args=args)


@pytest.fixture
def ann():
    return USER.objects.create_user("ann", password=PASSWORD)


def sign_in(agent=FIREFOX, address="192.0.2.7", name="ann"):
    browser = Client(headers={"user-agent": agent}, REMOTE_ADDR=address)
    assert browser.post(url("sign_in"), {"username": name, "password": PASSWORD}).status_code == 302
    return browser


def is_in(browser):
    return browser.get(url("account")).status_code == 200


def test_each_browser_is_listed_with_its_address_and_may_be_ended_from_another(ann):
    here, there = sign_in(), sign_in(SAFARI, "2001:db8::7")
    page = here.get(url("sessions")).text
    for text in ("Firefox on Linux", "192.0.2.7", "Safari on Mac OS X", "2001:db8::7", "this one"):
        assert text in page
    assert here.session.session_key not in page
    assert there.session.session_key not in page
    other = Browser.objects.get(address="2001:db8::7")
    here.post(url("session_end", other.pk))
    assert is_in(here)
    assert not is_in(there)
    assert "Safari" not in here.get(url("sessions")).text


def test_all_others_are_ended_at_once_but_nobody_elses(ann):
    USER.objects.create_user("bob", password=PASSWORD)
    here, *others, bob = sign_in(), sign_in(), sign_in(), sign_in(name="bob")
    page = here.post(url("sessions_end"), follow=True).text
    assert "2 other sessions ended." in page
    assert [is_in(one) for one in (here, *others, bob)] == [True, False, False, True]
    assert bob.post(url("session_end", Browser.objects.get(user=ann).pk)).status_code == 404
    assert here.post(url("session_end", Browser.objects.get(user=ann).pk)).status_code == 404, "signing out does that"


def test_a_changed_password_ends_the_others_and_the_list_knows(ann):
    here, there = sign_in(), sign_in(SAFARI)
    new = "another horse battery"
    form = {"old_password": PASSWORD, "new_password1": new}
    assert here.post(url("password_change"), form).status_code == 302
    assert (is_in(here), is_in(there)) == (True, False)
    page = here.get(url("sessions")).text
    assert "Safari" not in page
    assert "this one" in page
    assert Browser.objects.count() == 1


def test_a_password_set_elsewhere_ends_sessions_on_the_list_too(ann):
    """Such as in the admin, or with manage.py changepassword."""
    sign_in(SAFARI)
    ann.set_password("another horse battery")
    ann.save()
    here = Client()
    here.force_login(ann)
    assert "Safari" not in here.get(url("sessions")).text


def test_signing_out_leaves_the_list(ann):
    here = sign_in()
    here.post(url("sign_out"))
    assert not Browser.objects.exists()


def test_sessions_that_ended_by_themselves_leave_the_list(ann):
    here = sign_in()
    sign_in(SAFARI)
    Session.objects.exclude(session_key=here.session.session_key).delete()
    assert "Safari" not in here.get(url("sessions")).text
    Browser.objects.update(used=timezone.now() - timedelta(days=15))  # longer than a session lasts
    sign_in()
    assert Browser.objects.count() == 1


def test_when_a_browser_was_last_used_is_noted_every_few_minutes(ann):
    here = sign_in()
    made = Browser.objects.get().used
    here.get(url("sessions"))
    assert Browser.objects.get().used == made
    session = here.session
    session["browser"] = {**session["browser"], "at": 0}
    session.save()
    here.get(url("sessions"), REMOTE_ADDR="192.0.2.8")
    browser = Browser.objects.get()
    assert browser.used > made
    assert browser.address == "192.0.2.8"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on Mac OS X"),
        ("curl/8.5.0", "curl"),
        ("", "An unknown browser"),
        ("<script>" * 1000, "An unknown browser"),
    ],
)
def test_browsers_have_names(agent, name):
    assert description.name_of(agent) == name


def test_two_requests_may_note_a_browser_at_the_same_moment(ann):
    """Such as the page after a changed password, whose session has a new key."""
    here = sign_in()
    before = here.session
    before["browser"] = {"key": "gone", "at": 0}
    before.save()
    assert is_in(here)
    assert Browser.objects.count() == 1


class Places:
    def city(self, address):
        if address == "10.0.0.1":
            raise LookupError
        return {"city": "Uppsala" if address.endswith("1") else None, "country_name": "Sweden"}


@pytest.mark.parametrize(
    ("address", "place"), [("192.0.2.1", "Uppsala, Sweden"), ("192.0.2.2", "Sweden"), ("10.0.0.1", ""), (None, "")]
)
def test_a_database_of_places_says_where_an_address_is(monkeypatch, address, place):
    monkeypatch.setattr(description, "_places", Places)
    assert description.place_of(address) == place


def test_without_one_there_is_the_address_alone(settings):
    description._places.cache_clear()
    assert description.place_of("192.0.2.1") == ""
