"""What web servers and browsers say of a request keeps nobody from signing in, and no guess from being counted."""

from __future__ import annotations

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from accounts.models import Browser

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
ADDRESSES = [
    ("fe80::1%eth0", "fe80::1"),
    ("", None),
    ("unix:", None),
    ("testclient", None),
    ("192.0.2.1", "192.0.2.1"),
]


@pytest.fixture
def ann():
    return get_user_model().objects.create_user("ann", password=PASSWORD)


def sign_in(browser, password=PASSWORD, query="", **more):
    return browser.post(reverse("accounts:sign_in") + query, {"username": "ann", "password": password, **more})


@pytest.mark.parametrize(("given", "address"), ADDRESSES)
def test_whatever_the_web_server_says_of_the_address(ann, given, address):
    browser = Client(REMOTE_ADDR=given)
    assert sign_in(browser, "guess").status_code == 200
    assert AccessAttempt.objects.get().ip_address == address
    assert sign_in(browser).status_code == 302
    assert Browser.objects.get().address == address
    assert not AccessAttempt.objects.exists()


@pytest.mark.once
@pytest.mark.parametrize("given", ["fe80::1%eth0", "unix:"])
def test_guesses_count_whatever_the_address_is(ann, given):
    browser = Client(REMOTE_ADDR=given)
    assert [sign_in(browser, "guess").status_code for _ in range(10)] == [200] * 9 + [429]
    assert sign_in(browser).status_code == 429


@pytest.mark.parametrize("odd", ["\x85\x1f\x7f", "\U0010ffff", "x" * 70_000])
def test_whatever_a_browser_says(ann, odd):
    browser = Client(HTTP_USER_AGENT=odd, HTTP_ACCEPT=odd)
    more = {"query": "?other=%00%ff", "other": f"\0{odd}"}
    assert sign_in(browser, "guess", **more).status_code == 200
    assert AccessAttempt.objects.count() == 1
    assert sign_in(browser, **more).status_code == 302
