from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as site
from django.contrib.auth import get_user_model
from django.test import Client

from accounts.provider.conf import entry
from tmtp.openid.providers import parse_settings
from tmtp.openid.tokens import Verifier

from .device import FORM, Device

KEY = site.OAUTH2_PROVIDER["OIDC_RSA_PRIVATE_KEY"]
OPENID = {"auth": 1, "authby": [entry("Chess club", "https://testserver", KEY)]}


class Visit:
    """A member's browser, and their device, which has just opened the page in it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.device = Device(parse_settings(OPENID).announce()["authby"][0])

    def asked(self, url: str = "") -> Any:
        """The page."""
        return self.client.get(url or self.device.login)

    def answer(self, page: Any, **changed: Any) -> Any:
        """Submit the form of the page, and return the response."""
        fields = {name: value for name, value in page.context["form"].initial.items() if value is not None}
        return self.client.post(page.request["PATH_INFO"], {**fields, **changed})

    def code(self) -> str:
        """Return a code as the device gets it."""
        return self.device.called_back(self.answer(self.asked(), allow="1")["Location"])["code"]

    def redeem(self, code: str = "", body: str = "") -> Any:
        """Return what the device gets for a code."""
        return self.client.post(self.device.token, body or self.device.redeem(code or self.code()), FORM)


@pytest.fixture
def verifier() -> Verifier:
    """Return a verifier like that of the TMTP service."""
    return Verifier(parse_settings(OPENID))


@pytest.fixture
def ann(db: None) -> Any:
    return get_user_model().objects.create_user("ann", first_name="Ann", last_name="of <Rome> & Co")


@pytest.fixture
def visit(client: Client, ann: Any) -> Visit:
    client.force_login(ann)
    return Visit(client)


@pytest.fixture
def another(ann: Any) -> Callable[[], Visit]:
    def make() -> Visit:
        client = Client()
        client.force_login(ann)
        return Visit(client)

    return make
