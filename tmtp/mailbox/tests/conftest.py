"""Fixtures: a member with a mailbox and a browser, and a user with a device."""

from __future__ import annotations

import pytest

from tmtp.tests.people import someone

from .mailboxes import member


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
