"""Fixtures: a member with a mailbox and a browser, and a user with a device."""

from __future__ import annotations

import pytest

from tmtp.tests.people import someone
from tmtp.web import limits

from .mailboxes import member


@pytest.fixture(autouse=True)
def fresh_limits():
    """Forget how much the members of earlier tests have sent."""
    limits.limits.cache_clear()
    yield
    limits.limits.cache_clear()


@pytest.fixture
def ann():
    account, node = member("ann the first")
    node.account = account
    return node


@pytest.fixture
def bob():
    return someone("bob the second")


@pytest.fixture
def browser(client, ann):
    client.force_login(ann.account)
    return client
