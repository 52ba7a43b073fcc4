"""Fixtures: a member with a mailbox and a browser, and a push service that the browser is subscribed at."""

from __future__ import annotations

import pytest

from tmtp.mailbox.tests.mailboxes import member
from tmtp.notices import vapid
from tmtp.tests.people import someone

from .push_service import PushService


@pytest.fixture(scope="session")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vapid") / "vapid.pem"
    vapid.make(path)
    return path


@pytest.fixture
def notices_on(settings, key_file):
    settings.TMTP_NOTICES = {"VAPID_KEY": str(key_file), "PRIVATE_ENDPOINTS": True}
    settings.TMTP_DELIVERY = {
        "SITE_URL": "https://example.org",
        "EMAIL_ADDRESSES": "tmtp.notices.tests.test_digests.Book",
        "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    }
    return settings


@pytest.fixture(scope="session")
def running_service(key_file):
    service = PushService("")
    yield service
    service.close()


@pytest.fixture
def service(notices_on, running_service):
    running_service.public_key = vapid.public_key()
    return running_service


@pytest.fixture
def ann():
    account, node = member("ann the first")
    node.account = account
    return node


@pytest.fixture
def bob():
    return someone("bob the second")


@pytest.fixture
def client(client, ann, notices_on):
    client.force_login(ann.account)
    return client


@pytest.fixture
def phone(client, service):
    """Return the member's browser after it has subscribed."""
    browser = service.new_browser()
    assert client.post("/notifications/subscribe/", browser.form).status_code == 204
    return browser
