"""The page of error 500 is shown even if everything else fails."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tmtp.delivery.tests.outage import database_outage

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]  # any may be away


@pytest.mark.parametrize("address", ["/mailbox/", "/devices/", "/groups/", "/account/", "/admin/"])
@pytest.mark.parametrize("is_signed_in", [True, False])
@pytest.mark.parametrize("sessions", ["db", "signed_cookies"])
def test_the_page_of_an_error_needs_no_database(
    settings: Any, address: str, is_signed_in: bool, sessions: str
) -> None:
    settings.DEBUG = False
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{sessions}"
    client = Client(raise_request_exception=False)
    if is_signed_in:
        client.force_login(
            User.objects.create_superuser("ann", "ann@example.org", "a password"),
            "accounts.usernames.MemberBackend",
        )
        assert client.get(address).status_code in (200, 302)
    with database_outage():
        answer = client.get(address)
    if is_signed_in:
        assert answer.status_code == 500
    if answer.status_code == 500:
        assert "Server error" in answer.text
    else:
        assert answer.status_code == 302, "to the page of sign-in, which needs none either"
